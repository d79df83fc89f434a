//go:build wasip1

package main

import pdk "github.com/extism/go-pdk"

//go:wasmexport greet
func exportGreet() int32 {
	greeting, err := greet(pdk.InputString())
	if err != nil {
		pdk.SetError(err)
		return 1
	}
	pdk.OutputString(greeting)
	return 0
}
