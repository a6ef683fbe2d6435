//! How fast the CPU could hash if nothing but its vector ports were in the way.
//!
//! The estimate is the measured rate at which one thread executes independent instructions of the kinds that a round
//! needs, in a round's proportions, divided by the fewest instructions that a hash needs. It knows no dependencies, no
//! loads, no register moves and no spills.

/// What vector instructions the parts of a round cost.
struct Costs {
    lanes: f64,
    /// An exclusive or of five lanes.
    xor5: f64,
    /// An exclusive or of three lanes.
    xor3: f64,
    /// A rotation.
    rotate: f64,
    /// A rotation by whole bytes.
    rotate_bytes: f64,
    /// a ^ (!b & c).
    chi: f64,
    /// Seeing whether any lane's masked bits are all clear.
    test: f64,
    /// Whether D of theta is better computed once a column than once a lane.
    columns: f64,
}

const AVX2: Costs =
    Costs { lanes: 4., xor5: 4., xor3: 2., rotate: 3., rotate_bytes: 1., chi: 2., test: 3., columns: 5. };
const AVX512: Costs =
    Costs { lanes: 8., xor5: 2., xor3: 1., rotate: 1., rotate_bytes: 1., chi: 1., test: 1., columns: 0. };
const AVX512VL: Costs = Costs { lanes: 4., ..AVX512 };

impl Costs {
    /// The fewest vector instructions for one hash.
    ///
    /// Of 24 rounds the first is shared and the second begins before its chi, with one exclusive or a lane; 21 are
    /// whole; of the last only lane 0 is needed, for which theta must give three lanes.
    fn per_hash(&self) -> f64 {
        let apply = if self.columns > 0. { self.columns + 25. } else { 25. * self.xor3 };
        let theta = 5. * self.xor5 + 5. * self.rotate + apply;
        let rho = 22. * self.rotate + 2. * self.rotate_bytes;
        let chi_iota = 25. * self.chi + 1.;
        let second = 25. + chi_iota;
        let last = 5. * self.xor5 + 3. * self.rotate + 3. * self.xor3 + 2. * self.rotate + self.chi + self.test;
        (second + 21. * (theta + rho + chi_iota) + last) / self.lanes
    }
}

/// The kernels whose limit can be estimated here.
pub fn kernels() -> Vec<&'static str> {
    let mut names = Vec::new();
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
        names.extend(["avx512", "avx512vl"]);
    }
    if is_x86_feature_detected!("avx2") {
        names.push("avx2");
    }
    names
}

/// The most hashes that the ports allow for in `turns` turns of the loop of `kernel`, once the loop has run.
pub fn run(kernel: &str, turns: u64) -> Option<f64> {
    if !kernels().contains(&kernel) {
        return None;
    }
    let costs = match kernel {
        // SAFETY: `kernels` has just detected what each needs.
        "avx2" => unsafe {
            x86::avx2(turns);
            AVX2
        },
        // SAFETY: as above.
        "avx512" => unsafe {
            x86::avx512(turns);
            AVX512
        },
        // SAFETY: as above.
        _ => unsafe {
            x86::avx512vl(turns);
            AVX512VL
        },
    };
    #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 turns")]
    Some(turns as f64 * f64::from(x86::INSTRUCTIONS) / costs.per_hash())
}

mod x86 {
    use std::arch::asm;

    /// Vector instructions in a turn of every loop below.
    pub const INSTRUCTIONS: u32 = 20;

    /// Runs instructions in the proportions of a round with AVX2: 128 logical ones, 54 shifts and 2 shuffles.
    #[target_feature(enable = "avx2")]
    pub unsafe fn avx2(turns: u64) {
        // SAFETY: it changes the registers that it names and no memory.
        unsafe {
            asm!(
                "2:",
                "vpxor ymm0, ymm14, ymm15", "vpxor ymm1, ymm14, ymm15", "vpsllq ymm2, ymm14, 7",
                "vpandn ymm3, ymm14, ymm15", "vpor ymm4, ymm14, ymm15", "vpsrlq ymm5, ymm15, 57",
                "vpxor ymm6, ymm14, ymm15", "vpxor ymm7, ymm14, ymm15", "vpandn ymm8, ymm14, ymm15",
                "vpsllq ymm9, ymm14, 21", "vpxor ymm10, ymm14, ymm15", "vpor ymm11, ymm14, ymm15",
                "vpsrlq ymm12, ymm15, 43", "vpxor ymm0, ymm14, ymm15", "vpandn ymm1, ymm14, ymm15",
                "vpsllq ymm2, ymm14, 3", "vpxor ymm3, ymm14, ymm15", "vpor ymm4, ymm14, ymm15",
                "vpsrlq ymm5, ymm15, 61", "vpxor ymm6, ymm14, ymm15",
                "dec {turns}", "jnz 2b",
                turns = inout(reg) turns => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, options(nomem, nostack)
            );
        }
    }

    /// The loop for one width of AVX-512's registers: 61 logical instructions and 29 rotations a round.
    macro_rules! avx512_loop {
        ($name:ident, $r:literal) => {
            /// Runs instructions in the proportions of a round with AVX-512.
            #[target_feature(enable = "avx512f,avx512vl")]
            pub unsafe fn $name(turns: u64) {
                // SAFETY: it changes the registers that it names and no memory.
                unsafe {
                    asm!(
                        "2:",
                        concat!("vpternlogq ", $r, "0, ", $r, "14, ", $r, "15, 0x96"),
                        concat!("vpternlogq ", $r, "1, ", $r, "14, ", $r, "15, 0x96"),
                        concat!("vprolq ", $r, "2, ", $r, "14, 7"),
                        concat!("vpternlogq ", $r, "3, ", $r, "14, ", $r, "15, 0xd2"),
                        concat!("vpternlogq ", $r, "4, ", $r, "14, ", $r, "15, 0xd2"),
                        concat!("vprolq ", $r, "5, ", $r, "14, 21"),
                        concat!("vpternlogq ", $r, "6, ", $r, "14, ", $r, "15, 0x96"),
                        concat!("vpternlogq ", $r, "7, ", $r, "14, ", $r, "15, 0x96"),
                        concat!("vprolq ", $r, "8, ", $r, "14, 43"),
                        concat!("vpternlogq ", $r, "9, ", $r, "14, ", $r, "15, 0xd2"),
                        concat!("vpternlogq ", $r, "10, ", $r, "14, ", $r, "15, 0xd2"),
                        concat!("vprolq ", $r, "11, ", $r, "14, 57"),
                        concat!("vpternlogq ", $r, "12, ", $r, "14, ", $r, "15, 0x96"),
                        concat!("vpternlogq ", $r, "13, ", $r, "14, ", $r, "15, 0xd2"),
                        concat!("vprolq ", $r, "2, ", $r, "14, 3"),
                        concat!("vpternlogq ", $r, "16, ", $r, "14, ", $r, "15, 0x96"),
                        concat!("vpternlogq ", $r, "17, ", $r, "14, ", $r, "15, 0xd2"),
                        concat!("vprolq ", $r, "5, ", $r, "14, 61"),
                        concat!("vpternlogq ", $r, "18, ", $r, "14, ", $r, "15, 0x96"),
                        concat!("vpternlogq ", $r, "19, ", $r, "14, ", $r, "15, 0xd2"),
                        "dec {turns}", "jnz 2b",
                        turns = inout(reg) turns => _,
                        out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                        out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                        out("zmm12") _, out("zmm13") _, out("zmm16") _, out("zmm17") _, out("zmm18") _,
                        out("zmm19") _, options(nomem, nostack)
                    );
                }
            }
        };
    }

    avx512_loop!(avx512, "zmm");
    avx512_loop!(avx512vl, "ymm");
}
