package scaling

import (
	"math"
	"math/rand/v2"
)

// Sizes returns how many users each of so many apps has, by a Pareto law with that
// exponent: the smaller the exponent, the heavier the tail. Each has one at least,
// and all together exactly users, which are no fewer than apps. Sizes are the
// law's own by rank, rather than drawn, for a drawn largest app would be luck and
// decide all; the seed says which app has which.
func Sizes(apps int, users int64, tail float64, seed uint64) []int64 {
	weights, total := make([]float64, apps), 0.0
	for i := range weights {
		weights[i] = math.Pow(float64(i+1), -1/tail)
		total += weights[i]
	}
	// Each has the users between two borders, so that no rounding adds up.
	sizes := make([]int64, apps)
	spread, border, sum := users-int64(apps), int64(0), 0.0
	for i, weight := range weights {
		sum += weight
		next := min(spread, int64(math.Round(float64(spread)*(sum/total))))
		if i == apps-1 {
			next = spread
		}
		sizes[i] = 1 + next - border
		border = next
	}
	draw := rand.New(rand.NewPCG(seed, uint64(apps)))
	draw.Shuffle(apps, func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	return sizes
}
