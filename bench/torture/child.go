package main

import "io"

// jobVariable is the environment's variable that makes this program a child, with what it is to do.
const jobVariable = "SWINGPORT_TORTURE_JOB"

func runJob(text string, stdout, stderr io.Writer) int { return 0 }
