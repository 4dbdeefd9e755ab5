// Package bench measures swingport; it has no code of its own to import.
//
//   - go test ./bench -bench . runs each stage by itself and each whole pipeline inside one process, on a small store, with
//     yardsticks: to see what a change does, and where, with benchstat and profiles.
//   - bench/compare runs whole programs in turn, swingport, the reference and the system's own: to know how fast it is.
//   - bench/genstore makes stores of any size to measure on.
//
// README.md says how to run them, and has the figures.
package bench
