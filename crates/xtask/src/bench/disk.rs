//! Disk for the cities of the world, with compression and without.

use std::path::Path;

use crate::bench::cities::{self, City};
use crate::bench::figures::{Figures, Metric, Target};
use crate::bench::node::{self, Compression};
use crate::bench::options::{NodeOptions, Part};
use crate::bench::scratch::Scratch;
use crate::bench::server::Server;
use crate::bench::{batches, blocks, quiet};

const MEGABYTE: f64 = 1e6;

/// Runs this part. What fails is recorded in the figures.
pub(crate) fn run(options: &NodeOptions, scratch: &Scratch, figures: &mut Figures) {
    if !options.wants(Part::Disk) {
        return;
    }
    let both = [Metric::DiskCompressed, Metric::DiskPlain];
    let Some(file) = &options.cities else {
        figures.void(Target::Node, &both, "no --cities FILE was given");
        return;
    };
    if let Err(error) = measure(file, scratch, figures) {
        println!("bench: disk: void: {error:#}");
        figures.void(Target::Node, &both, &format!("{error:#}"));
    }
}

fn measure(file: &Path, scratch: &Scratch, figures: &mut Figures) -> anyhow::Result<()> {
    let cities = cities::read(file)?;
    let bytes: usize = cities.iter().map(|city| city.path.len() + city.value.len()).sum();
    println!("bench: {} cities, {:.1} MB of paths and values", cities.len(), bytes as f64 / MEGABYTE);
    for (name, compression, metric) in [
        ("cities-compressed", Compression::On, Metric::DiskCompressed),
        ("cities-plain", Compression::Off, Metric::DiskPlain),
    ] {
        let folder = scratch.folder(name)?;
        fill(&folder, compression, &cities)?;
        let megabytes = blocks::allocated(&node::data_dir(&folder))? as f64 / MEGABYTE;
        println!("bench: disk, {name}: {megabytes:.1} MB");
        figures.add(Target::Node, metric, megabytes);
    }
    Ok(())
}

/// Loads the cities into a new node and ends it in order, so that everything is where it rests.
fn fill(folder: &Path, compression: Compression, cities: &[City]) -> anyhow::Result<()> {
    let mut server = Server::start(&node::recipe(folder, compression)?, folder)?;
    let at = |number: u64| usize::try_from(number).ok().and_then(|number| cities.get(number));
    let write = |number, out: &mut Vec<u8>, text: fn(&City) -> &str| {
        out.extend_from_slice(at(number).map(text).unwrap_or_default().as_bytes());
    };
    batches::put_all(
        &server,
        cities.len() as u64,
        &|number, out| write(number, out, |city| &city.path),
        &|number, out| write(number, out, |city| &city.value),
    )?;
    quiet::wait([&server]);
    server.process.stop()
}
