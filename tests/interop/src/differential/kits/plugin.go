// The calls of every kit, in Go.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	pdk "github.com/extism/go-pdk"
)

//go:wasmimport extism:host/user reverse
func reverse(input uint64) uint64

//go:wasmexport echo
func echo() int32 {
	pdk.Output(pdk.Input())
	return 0
}

//go:wasmexport fail
func fail() int32 {
	pdk.SetError(errors.New(pdk.InputString()))
	return 42
}

//go:wasmexport fail_with_code
func failWithCode() int32 {
	pdk.OutputString("an output")
	return 17
}

//go:wasmexport config
func config() int32 {
	if value, present := pdk.GetConfig(pdk.InputString()); present {
		pdk.OutputString("present: " + value)
	} else {
		pdk.OutputString("absent")
	}
	return 0
}

//go:wasmexport set
func set() int32 {
	key, value, _ := bytes.Cut(pdk.Input(), []byte("\n"))
	pdk.SetVar(string(key), value)
	return 0
}

//go:wasmexport get
func get() int32 {
	if value := pdk.GetVar(pdk.InputString()); value != nil {
		pdk.Output(value)
	} else {
		pdk.OutputString("absent")
	}
	return 0
}

//go:wasmexport remove
func remove() int32 {
	pdk.RemoveVar(pdk.InputString())
	return 0
}

//go:wasmexport log
func log() int32 {
	for _, level := range []pdk.LogLevel{pdk.LogTrace, pdk.LogDebug, pdk.LogInfo, pdk.LogWarn, pdk.LogError} {
		pdk.Log(level, pdk.InputString())
	}
	return 0
}

//go:wasmexport panic
func panics() int32 {
	panic(pdk.InputString())
}

//go:wasmexport json
func json() int32 {
	var question struct{ Text string }
	if err := pdk.InputJSON(&question); err != nil {
		pdk.SetError(err)
		return 1
	}
	counts := map[string]int{}
	for _, word := range strings.Fields(question.Text) {
		counts[strings.ToLower(word)]++
	}
	if err := pdk.OutputJSON(counts); err != nil {
		pdk.SetError(err)
		return 1
	}
	return 0
}

//go:wasmexport heavy
func heavy() int32 {
	count, err := strconv.ParseUint(pdk.InputString(), 10, 64)
	if err != nil {
		pdk.SetError(err)
		return 1
	}
	words := make([]string, count)
	for index := range words {
		words[index] = fmt.Sprintf("%016x", uint64(index)*0x9E3779B97F4A7C15)
	}
	sort.Strings(words)
	pdk.OutputString(fmt.Sprint(words[0], words[len(words)-1]))
	return 0
}

//go:wasmexport host
func host() int32 {
	input := pdk.AllocateBytes(pdk.Input())
	defer input.Free()
	output := pdk.FindMemory(reverse(input.Offset()))
	pdk.Output(output.ReadBytes())
	return 0
}

//go:wasmexport request
func request() int32 {
	response := pdk.NewHTTPRequest(pdk.MethodGet, pdk.InputString()).Send()
	pdk.Output(response.Body())
	return 0
}

func main() {}
