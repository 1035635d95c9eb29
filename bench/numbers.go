package main

import (
	"math"
	"slices"
)

// median of some rounds; 0 without any.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// rounded keeps four significant digits: more would be noise.
func rounded(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return v
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

func roundedAll(of []float64) []float64 {
	all := make([]float64, len(of))
	for n, v := range of {
		all[n] = rounded(v)
	}
	return all
}
