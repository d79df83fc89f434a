// The plugin {{name}}.
package main

import "errors"

// Takes a name and returns a greeting.
func greet(name string) (string, error) {
	if name == "" {
		return "", errors.New("a greeting requires a name")
	}
	return "Hello, " + name + "!", nil
}

func main() {}
