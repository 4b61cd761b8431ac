package driver

// symbol is a function of the driver library.
type symbol int

const (
	cuInit symbol = iota
	cuDriverGetVersion
	cuDeviceGetCount
	cuDeviceGet
	cuDeviceGetName
	cuDeviceGetAttribute
	cuDeviceTotalMem
	cuDevicePrimaryCtxRetain
	cuDevicePrimaryCtxRelease
	cuCtxSetCurrent
	cuMemGetInfo
	cuMemAlloc
	cuMemFree
	cuMemHostAlloc
	cuMemFreeHost
	cuMemcpyDtoH
	cuMemcpyHtoDAsync
	cuMemcpyDtoHAsync
	cuMemcpyDtoDAsync
	cuMemcpy2DAsync
	cuMemsetD8Async
	cuStreamCreate
	cuStreamDestroy
	cuStreamSynchronize
	cuStreamWaitEvent
	cuStreamBeginCapture
	cuStreamEndCapture
	cuEventCreate
	cuEventDestroy
	cuEventRecord
	cuEventSynchronize
	cuEventElapsedTime
	cuModuleLoadData
	cuModuleUnload
	cuModuleGetFunction
	cuModuleGetGlobal
	cuFuncSetAttribute
	cuFuncGetAttribute
	cuLaunchKernelEx
	cuGraphInstantiateWithFlags
	cuGraphUpload
	cuGraphLaunch
	cuGraphExecDestroy
	cuGraphDestroy
	cuGetErrorName
	cuGetErrorString
	symbolCount
)

// exports are the names in libcuda: where the interface changed over time the name
// has a version, and the one bound here is the one that the arguments are for.
var exports = [symbolCount]string{
	cuInit: "cuInit", cuDriverGetVersion: "cuDriverGetVersion", cuDeviceGetCount: "cuDeviceGetCount", cuDeviceGet: "cuDeviceGet",
	cuDeviceGetName: "cuDeviceGetName", cuDeviceGetAttribute: "cuDeviceGetAttribute", cuDeviceTotalMem: "cuDeviceTotalMem_v2",
	cuDevicePrimaryCtxRetain: "cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRelease: "cuDevicePrimaryCtxRelease_v2",
	cuCtxSetCurrent: "cuCtxSetCurrent", cuMemGetInfo: "cuMemGetInfo_v2", cuMemAlloc: "cuMemAlloc_v2", cuMemFree: "cuMemFree_v2",
	cuMemHostAlloc: "cuMemHostAlloc", cuMemFreeHost: "cuMemFreeHost", cuMemcpyDtoH: "cuMemcpyDtoH_v2",
	cuMemcpyHtoDAsync: "cuMemcpyHtoDAsync_v2", cuMemcpyDtoHAsync: "cuMemcpyDtoHAsync_v2", cuMemcpyDtoDAsync: "cuMemcpyDtoDAsync_v2",
	cuMemcpy2DAsync: "cuMemcpy2DAsync_v2", cuMemsetD8Async: "cuMemsetD8Async", cuStreamCreate: "cuStreamCreate",
	cuStreamDestroy: "cuStreamDestroy_v2", cuStreamSynchronize: "cuStreamSynchronize", cuStreamWaitEvent: "cuStreamWaitEvent", cuStreamBeginCapture: "cuStreamBeginCapture_v2",
	cuStreamEndCapture: "cuStreamEndCapture", cuEventCreate: "cuEventCreate", cuEventDestroy: "cuEventDestroy_v2",
	cuEventRecord: "cuEventRecord", cuEventSynchronize: "cuEventSynchronize", cuEventElapsedTime: "cuEventElapsedTime",
	cuModuleLoadData: "cuModuleLoadData", cuModuleUnload: "cuModuleUnload", cuModuleGetFunction: "cuModuleGetFunction",
	cuModuleGetGlobal: "cuModuleGetGlobal_v2", cuFuncSetAttribute: "cuFuncSetAttribute", cuFuncGetAttribute: "cuFuncGetAttribute",
	cuLaunchKernelEx: "cuLaunchKernelEx", cuGraphInstantiateWithFlags: "cuGraphInstantiateWithFlags", cuGraphUpload: "cuGraphUpload",
	cuGraphLaunch: "cuGraphLaunch", cuGraphExecDestroy: "cuGraphExecDestroy", cuGraphDestroy: "cuGraphDestroy",
	cuGetErrorName: "cuGetErrorName", cuGetErrorString: "cuGetErrorString",
}

func (s symbol) String() string { return exports[s] }
