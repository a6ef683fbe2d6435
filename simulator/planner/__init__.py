"""A farm of many kinds of farmers, to measure what a policy of planting and working earns.

The farm's arithmetic is the contract's own (`kale_chain.rewards`); what it leaves out is the rest of the world: farmers
are numbers, a search is drawn from the distribution of its outcome, a transaction from the laws of latency. Everything
follows from a seed. What is measured and how to read it: docs/planning.md.
"""
