package main

import "errors"

func demoCommand([]string) error { return errors.New("not yet") }
