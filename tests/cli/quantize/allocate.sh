# The allocator against GLPK, on problems of the shape of models: tensors of several sizes, ten types each, at 4 bits per weight.
knapsack=$(dirname "$EDGELLM")/build/tools/knapsack
[ -x "$knapsack" ] || skip "build/tools/knapsack is missing: make tools"
command -v glpsol > /dev/null || skip "glpsol (package glpk-utils) is missing"

# problem N SEED: losses fall by about four per bit, each tensor and type with its own factor; whole costs.
problem() {
    awk -v n="$1" -v seed="$2" '
        function r() { seed = (seed * 69069 + 1) % 4294967296; return seed / 4294967296 }
        BEGIN {
            split("2.5625 3.0625 3.4375 4.25 4.5 5 5.5 6 6.5625 8.5", bits)
            for (i = 0; i < n; i++) { size[i] = 4096 * (1 + int(255 * r())); sum += size[i] }
            print n, int(sum * 4 / 8)
            for (i = 0; i < n; i++) {
                weight = exp(4 * r() - 2) * size[i] / 1e6
                printf "10"
                for (k = 1; k <= 10; k++)
                    printf " %d %.9f", size[i] * bits[k] / 8, 100 * weight * exp(0.6 * r() - 1.386 * bits[k])
                print ""
            }
        }'
}
# to_lp < PROBLEM: in the format of CPLEX.
to_lp() {
    awk 'NR == 1 { n = $1; budget = $2; next }
        {
            choices[NR - 2] = $1
            for (k = 0; k < $1; k++) { cost[NR - 2, k] = $(2 + 2 * k); loss[NR - 2, k] = $(3 + 2 * k) }
        }
        END {
            print "Minimize\n loss:"
            for (i = 0; i < n; i++) for (k = 0; k < choices[i]; k++) print " + " loss[i, k] " x_" i "_" k
            print "Subject To\n size:"
            for (i = 0; i < n; i++) for (k = 0; k < choices[i]; k++) print " + " cost[i, k] " x_" i "_" k
            print " <= " budget
            for (i = 0; i < n; i++) {
                printf " one_%d:", i
                for (k = 0; k < choices[i]; k++) printf " + x_%d_%d", i, k
                print " = 1"
            }
            print "Binary"
            for (i = 0; i < n; i++) for (k = 0; k < choices[i]; k++) print " x_" i "_" k
            print "End"
        }'
}
# compare N SEED GAP: the losses of both; ours is never more, and by no more than the gap less.
compare() {
    problem "$1" "$2" > items.txt
    to_lp < items.txt > problem.lp
    "$knapsack" < items.txt > ours
    read -r loss cost _ exact < <(head -n 1 ours)
    is "$exact" exact
    awk -v cost="$cost" 'NR == 1 { exit !(cost <= $2 && cost >= ($1 > 100 ? 0.999 : 0.9) * $2) }' items.txt ||
        fail "cost $cost: $(head -n 1 items.txt)"
    timeout 120 glpsol --lp problem.lp --mipgap "$3" -o theirs > log 2>&1 || { tail -n 5 log >&2; fail "glpsol failed"; }
    has theirs 'Status: *INTEGER .*OPTIMAL'
    best=$(sed -n 's/^Objective: *[a-z]* = \([^ ]*\).*/\1/p' theirs)
    awk -v a="$loss" -v b="$best" -v gap="$3" 'BEGIN { exit !(a <= b * (1 + 1e-6) && a >= b * (1 - gap - 1e-6)) }' ||
        fail "$1 tensors: loss $loss, glpsol's $best"
}
compare 12 1 0
compare 224 2 1e-7
compare 2000 3 1e-5
