package weights

import (
	"fmt"
	"slices"
)

const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model.safetensors"
)

// OpenAdapter opens a folder as PEFT writes it: adapter_config.json, which Config gives,
// and adapter_model.safetensors. Nothing else in the folder is looked at.
func OpenAdapter(path string) (*HF, error) {
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("adapter %s is no folder: give the one that holds %s", path, adapterConfig)
	}
	d, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, adapterConfig) {
		return nil, fmt.Errorf("adapter folder %s has no %s", path, adapterConfig)
	}
	if !slices.Contains(names, adapterWeights) {
		if slices.Contains(names, "adapter_model.bin") {
			return nil, errPickle(d.join("adapter_model.bin"))
		}
		return nil, fmt.Errorf("adapter folder %s has no %s", path, adapterWeights)
	}
	config, err := d.readFile(adapterConfig, maxConfigBytes)
	if err != nil {
		return nil, err
	}
	return openShards(d, Folder{path: path, config: config}, []string{adapterWeights}, nil)
}
