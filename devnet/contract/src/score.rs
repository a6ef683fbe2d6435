use crate::{Error, block::Block, block::width};

/// A pail's share of its block: the sum of gap, stake and zeros, each scaled to the widest of the block's ranges.
///
/// With widths `r = max(1, max - min)` and `S` the greatest of the three, each part is
/// `max(1, floor((clamp(x, min, max) - min) * S / r))`.
///
/// # Errors
/// [`Error::BlockInvalid`] when one of the block's ranges is upside down.
pub fn score(block: &Block, gap: u32, stake: i128, zeros: u32) -> Result<i128, Error> {
    let gaps = width(block.min_gap.into(), block.max_gap.into())?;
    let stakes = width(block.min_stake, block.max_stake)?;
    let zeros_width = width(block.min_zeros.into(), block.max_zeros.into())?;
    let scale = gaps.max(stakes).max(zeros_width);
    let part = |value: i128, min: i128, max: i128, width: i128| ((value.clamp(min, max) - min) * scale / width).max(1);
    Ok(part(gap.into(), block.min_gap.into(), block.max_gap.into(), gaps)
        + part(stake, block.min_stake, block.max_stake, stakes)
        + part(zeros.into(), block.min_zeros.into(), block.max_zeros.into(), zeros_width))
}
