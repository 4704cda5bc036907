package ratings

import (
	"math/big"

	"github.com/shopspring/decimal"
)

// cents is how many decimals an amount has.
const cents = 2

// round rounds an exact value to cents, half up by magnitude (FACTS §7): the one
// division of every amount.
func round(exact *big.Rat) decimal.Decimal {
	return decimal.NewFromBigInt(exact.Num(), 0).DivRound(decimal.NewFromBigInt(exact.Denom(), 0), cents)
}

// times returns an exact product.
func times(price decimal.Decimal, quantity *big.Rat) *big.Rat {
	return new(big.Rat).Mul(price.Rat(), quantity)
}

// percentOf returns percent of an amount, rounded.
func percentOf(amount, percent decimal.Decimal) decimal.Decimal {
	const hundredth = -2
	return amount.Mul(percent).Shift(hundredth).Round(cents)
}

// exact shows a number exactly: as a decimal number if that has an end, else as a
// fraction.
func exact(quantity *big.Rat) string {
	if digits, isExact := quantity.FloatPrec(); isExact {
		return quantity.FloatString(digits)
	}
	return quantity.RatString()
}

// share splits an amount of whole cents in the proportion of weights that are
// whole cents too, by largest remainder (FACTS §7): each share is rounded down,
// and the cents that are left go to those that lost most; of equals, to the first.
// No share of an amount that is at most the sum of the weights exceeds its
// weight. Without any weight all are zero.
func share(amount decimal.Decimal, weights ...decimal.Decimal) []decimal.Decimal {
	shares := make([]decimal.Decimal, len(weights))
	sum := decimal.Sum(decimal.Zero, weights...)
	if sum.IsZero() {
		return shares
	}
	lost := make([]decimal.Decimal, len(weights)) // times sum
	left := amount
	for i, w := range weights {
		shares[i], lost[i] = amount.Mul(w).QuoRem(sum, cents)
		left = left.Sub(shares[i])
	}
	cent := decimal.New(1, -cents)
	for left.IsPositive() {
		most := 0
		for i := range lost {
			if lost[i].GreaterThan(lost[most]) {
				most = i
			}
		}
		shares[most], lost[most] = shares[most].Add(cent), decimal.NewFromInt(-1)
		left = left.Sub(cent)
	}
	return shares
}
