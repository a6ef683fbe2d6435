"""The ledger, through `kale_chain`: closed ledgers, the farm, the fee account and its channel accounts."""
