package grammar

import (
	"os"
	"testing"
	"time"
)

// TestMain gives compiling more time than it has by default: what a test asks is not how
// fast the machine is.
func TestMain(m *testing.M) {
	defaultTime = time.Minute
	os.Exit(m.Run())
}
