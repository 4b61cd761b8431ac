//go:build race

package batchjobs

const raceEnabled = true
