"""jupyter_kernel_test with every attribute."""
import unittest

import jupyter_kernel_test

from kernelcase import BIN, KERNEL, SNIPPETS, TIMEOUT

# The suite's own patience is too short for a slow machine; some of it is in default arguments.
jupyter_kernel_test.TIMEOUT = TIMEOUT
for helper in vars(jupyter_kernel_test.KernelTests).values():
    if getattr(helper, "__defaults__", None):
        helper.__defaults__ = tuple(TIMEOUT if v == 15 else v for v in helper.__defaults__)


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class Conformance(jupyter_kernel_test.KernelTests):
    kernel_name = KERNEL
    language_name = "go"
    file_extension = ".go"
    code_hello_world = 'fmt.Println("hello, world")'
    code_stderr = 'fmt.Fprintln(os.Stderr, "to stderr")'
    completion_samples = [
        {"text": "strings.TrimSp", "matches": {"TrimSpace"}},
        {"text": "fmt.Fprintl", "matches": {"Fprintln"}},
        {"text": "noSuchName"},
    ]
    complete_code_samples = ["x := 1", "1 + 2", 'fmt.Println("a")', "func f() int { return 1 }", "// comment"]
    incomplete_code_samples = ["func f() {", "fmt.Println(", "for i := 0; i < 3; i++ {", "x := []int{\n\t1,"]
    invalid_code_samples = ["x := )", "func 3() {}", "}"]
    code_generate_error = 'panic("on purpose")'
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": 'len("godwit")', "result": "6"},
        {"code": "[]int{1, 2, 3}[1:]", "result": "[2 3]"},
    ]
    code_history_pattern = "len(*)"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "strings.TrimSpace"
    code_page_something = "strings.TrimSpace?"
    code_display_data = [
        {"code": SNIPPETS["html"], "mime": "text/html"},
        {"code": SNIPPETS["png"], "mime": "image/png"},
    ]
    code_clear_output = SNIPPETS["clear"]


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class Welcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = KERNEL
    support_iopub_welcome = True


del jupyter_kernel_test  # its base classes are not tests of this kernel

if __name__ == "__main__":
    unittest.main()
