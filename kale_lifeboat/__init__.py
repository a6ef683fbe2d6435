"""A harvester that needs neither database nor farmers' keys, for the day when nothing else of the pool runs.

Work done, anyone may harvest a pail, and anyone may extend its life: what it brings goes to the farmer in any case.
"""
