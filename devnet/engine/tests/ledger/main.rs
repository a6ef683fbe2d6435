//! The engine as its users see it: through submissions, closed ledgers and entries.

mod accounts;
mod authorising;
mod contracts;
mod data;
mod fees;
mod life;
mod records;
mod signing;
mod sponsoring;
mod support;
mod trust;
mod validity;
