"""What to plant, stake, search and submit, and when: pure functions that both services share.

The backend plans plants (`plants`), the poolers plan works (`works`); what a block pays is computed in one place
(`kale_chain.rewards`) and so are chances (`laws`), zeros (`zeros`), ledgers (`timing`), stakes (`stakes`) and fees
(`fees`). Nothing here reads a clock or draws a number at random, and money is integers and fractions.
The arithmetic and what it earns: docs/planning.md.
"""
