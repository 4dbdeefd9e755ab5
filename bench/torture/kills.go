package main

import (
	"context"
	"io"
)

func bounded(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return kills(ctx, args, stdout, stderr)
}

func kills(ctx context.Context, args []string, stdout, stderr io.Writer) error { return nil }
