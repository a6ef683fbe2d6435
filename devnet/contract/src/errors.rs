use soroban_sdk::contracterror;

/// What the farm refuses. The token contract uses the same numbers for other things: a reader of a failed
/// transaction must look which contract failed.
#[contracterror]
#[derive(Copy, Clone, Debug, Eq, PartialEq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Error {
    /// The farm has been founded already.
    HomesteadExists = 1,
    /// The farm has no homesteader.
    HomesteadMissing = 2,
    /// The farm was never founded.
    FarmBlockMissing = 3,
    /// The farm takes no plants now.
    FarmPaused = 4,
    /// The farm is not paused.
    FarmNotPaused = 5,
    /// The stake is negative.
    PlantAmountTooLow = 6,
    /// The pail has a hash with at least as many zeros.
    ZeroCountTooLow = 7,
    /// The farmer has planted in this block already.
    PailExists = 8,
    /// The farmer has not planted in this block, or has harvested it, or the pail has expired.
    PailMissing = 9,
    /// The pail was never worked.
    WorkMissing = 10,
    /// There is no such block, or it has expired.
    BlockMissing = 11,
    /// A maximum of the block is below its minimum.
    BlockInvalid = 12,
    /// The hash is not the one of this block, nonce and farmer.
    HashInvalid = 13,
    /// The block is still open.
    HarvestNotReady = 14,
    /// The pail was planted in this very ledger.
    GapCountTooLow = 15,
}
