package main

import "testing"

func TestGreet(t *testing.T) {
	if greeting, err := greet("Ada"); greeting != "Hello, Ada!" || err != nil {
		t.Error(greeting, err)
	}
	if _, err := greet(""); err == nil {
		t.Error("an empty name is greeted")
	}
}
