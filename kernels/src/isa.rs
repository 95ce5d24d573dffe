//! Which instruction sets there are, and proof that this processor has one.

use std::fmt;

/// An instruction set that this processor is known to have. Only the constructors here make one, so holding it
/// makes calls of its kernels sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isa(Level);

/// The names, lowest first within an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain Rust: defines the bits.
    Scalar,
    /// x86-64: AVX2 and FMA, exact 8-bit products without saturation.
    Avx2,
    /// x86-64: AVX2 and AVX-VNNI, `vpdpbusd` on 256 bits.
    AvxVnni,
    /// x86-64: AVX-512 F, BW, VL, DQ and VNNI.
    Avx512Vnni,
    /// aarch64: baseline NEON.
    Neon,
    /// aarch64: `sdot`.
    DotProd,
    /// aarch64: `smmla`.
    I8mm,
}

/// Why an [`Isa`] could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsaError {
    /// No instruction set has this name.
    Unknown(String),
    /// This processor has not got it.
    Missing(Level),
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let have: Vec<&str> = Isa::available().iter().map(|i| i.name()).collect();
        match self {
            IsaError::Unknown(name) => write!(f, "instruction set '{name}' is unknown")?,
            IsaError::Missing(level) => write!(f, "this processor has no {}", level.name())?,
        }
        write!(f, "; here there are: auto, {}", have.join(", "))
    }
}

impl std::error::Error for IsaError {}

impl Level {
    /// Every level.
    pub const ALL: [Level; 7] = [
        Level::Scalar,
        Level::Avx2,
        Level::AvxVnni,
        Level::Avx512Vnni,
        Level::Neon,
        Level::DotProd,
        Level::I8mm,
    ];

    /// As `--isa` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::AvxVnni => "avxvnni",
            Level::Avx512Vnni => "avx512vnni",
            Level::Neon => "neon",
            Level::DotProd => "dotprod",
            Level::I8mm => "i8mm",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detected(self) -> bool {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma");
        let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq");
        match self {
            Level::Scalar => true,
            Level::Avx2 => avx2,
            Level::AvxVnni => avx2 && has!("avxvnni"),
            Level::Avx512Vnni => avx2 && avx512 && has!("avx512vnni"),
            Level::Neon | Level::DotProd | Level::I8mm => false,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detected(self) -> bool {
        self == Level::Scalar
    }
}

impl Isa {
    /// Always there.
    pub const SCALAR: Isa = Isa(Level::Scalar);

    /// This level, if the processor has it.
    pub fn new(level: Level) -> Option<Isa> {
        level.detected().then_some(Isa(level))
    }

    /// All that this processor has, lowest first.
    pub fn available() -> Vec<Isa> {
        Level::ALL.into_iter().filter_map(Isa::new).collect()
    }

    /// The highest that this processor has.
    pub fn best() -> Isa {
        Isa::available().last().copied().unwrap_or(Isa::SCALAR)
    }

    /// By name; `auto` is the best.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        if name == "auto" {
            return Ok(Isa::best());
        }
        let level = Level::ALL.into_iter().find(|l| l.name() == name);
        let level = level.ok_or_else(|| IsaError::Unknown(name.to_string()))?;
        Isa::new(level).ok_or(IsaError::Missing(level))
    }

    /// Which one it is.
    pub const fn level(self) -> Level {
        self.0
    }

    /// As `--isa` takes it.
    pub const fn name(self) -> &'static str {
        self.0.name()
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
