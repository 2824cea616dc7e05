// A program around the Hydra of the module proxy. `go install` refuses Hydra itself because its go.mod has
// `replace` directives.
package main

import "github.com/ory/hydra/v2/cmd"

func main() { cmd.Execute() }
