//! What can be said about a run.

/// The arguments of `cargo xtask torture`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TortureOptions {
    /// How long faults happen and clients write
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) minutes: u64,
    /// Chooses the faults and what clients do; the moments differ from run to run
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep the folders of the nodes even if all is well
    #[arg(long)]
    pub(crate) keep: bool,
}
