//! What a network costs its host besides computing: the way to the first answer, memory, and CPU time at ten
//! inferences a second.
//!
//! `cargo bench --bench host [-- MODEL ...]`, on Linux (figures of the kernel's: `/proc`). Every model is converted
//! to a file that is packed for this processor; what is opened is that file, in the page cache.

use ottava::import::{self, ImportOptions};
use ottava::{Limits, Model, Session, SessionOptions, format, optimize};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SHARED: &[&str] =
    &["seeds/mnist_mlp_qdq.onnx", "seeds/mnist_cnn_qdq.onnx", "ort_quantized/efflite0_qdq_perch_as8.onnx"];

/// The first argument of a process that only opens a file, tells its memory, and waits.
const HOLD: &str = "--hold";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [hold, path] = &args[..]
        && hold == HOLD
    {
        return hold_model(Path::new(path));
    }
    let dir = std::env::temp_dir().join(format!("ottava-host-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let told = files(&args).and_then(|files| files.iter().try_for_each(|file| report(file, &dir)));
    std::fs::remove_dir_all(&dir)?;
    told
}

/// The models that are named, or those of the test material that are there.
fn files(args: &[String]) -> Result<Vec<PathBuf>> {
    if !args.is_empty() {
        return Ok(args.iter().map(PathBuf::from).collect());
    }
    let dir = std::env::var_os("OTTAVA_SHARED").map(PathBuf::from);
    let dir =
        dir.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared")).join("models");
    let files: Vec<PathBuf> = SHARED.iter().map(|f| dir.join(f)).filter(|f| f.exists()).collect();
    if files.is_empty() { Err("no models are there: name some".into()) } else { Ok(files) }
}

fn report(file: &Path, dir: &Path) -> Result<()> {
    let packed = dir.join("model.8va");
    pack(file, &packed)?;
    println!("{}: {} bytes packed", file.display(), std::fs::metadata(&packed)?.len());
    cold_start(&packed)?;
    memory(&packed)?;
    idle(&packed)
}

/// Writes `file` as `.8va`, weights in the order of this processor's kernels.
fn pack(file: &Path, to: &Path) -> Result<()> {
    let model = Model::from_graph(optimize::float(import::load(file, &ImportOptions::default())?)?)?;
    let session = model.session(&SessionOptions::default())?;
    Ok(format::save(to, model.graph(), &model.packed_sections(&session))?)
}

fn open(path: &Path, threads: usize) -> Result<Session> {
    // SAFETY: the file lies in a folder of this process's own; nobody changes it.
    let model = unsafe { Model::map(path, &Limits::default())? };
    Ok(model.session(&SessionOptions { threads, ..SessionOptions::default() })?)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Open, verify, plan, first answer.
fn cold_start(path: &Path) -> Result<()> {
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..31 {
        let start = Instant::now();
        let mut session = open(path, 1)?;
        times[0].push(start.elapsed().as_secs_f64() * 1e3);
        session.run()?;
        times[1].push(start.elapsed().as_secs_f64() * 1e3);
    }
    let [opened, answered] = times.map(median);
    println!("  open, verify, plan {opened:.3} ms; with the first answer {answered:.3} ms");
    Ok(())
}

/// A second process opens the same file while this one has it mapped.
fn memory(path: &Path) -> Result<()> {
    let mut mine = open(path, 1)?;
    mine.run()?;
    let child = Command::new(std::env::current_exe()?)
        .arg(HOLD)
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    print!("{}", String::from_utf8_lossy(&child.stdout));
    if child.status.success() { Ok(()) } else { Err("the second process failed".into()) }
}

/// In a process of its own: what opening the file and running adds to the resident memory.
fn hold_model(path: &Path) -> Result<()> {
    let before = own_memory()?;
    let mut session = open(path, 1)?;
    session.run()?;
    let own = own_memory()? - before;
    let [shared, private] = mapping(path)?;
    let (file, arena) = (std::fs::metadata(path)?.len() / 1024, session.arena_bytes() as u64 / 1024);
    println!(
        "  resident memory grew by {} KiB, besides the program's code; file and arena are {} KiB",
        own + shared + private,
        file + arena
    );
    println!(
        "  of the mapped file {shared} KiB are shared with the other process, {private} KiB are its own"
    );
    Ok(())
}

/// KiB of resident memory of this process that belong to no file.
fn own_memory() -> Result<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    field(&rollup, "Anonymous:").ok_or_else(|| "no figure of anonymous memory".into())
}

/// KiB of the mappings of `path`: shared with others, private.
fn mapping(path: &Path) -> Result<[u64; 2]> {
    let smaps = std::fs::read_to_string("/proc/self/smaps")?;
    let path = path.to_string_lossy();
    let mut sums = [0; 2];
    let mut inside = false;
    for line in smaps.lines() {
        match line.split_whitespace().next() {
            Some(word) if !word.ends_with(':') => inside = line.ends_with(path.as_ref()),
            Some(word) if inside && word.starts_with("Shared_") => sums[0] += field(line, word).unwrap_or(0),
            Some(word) if inside && word.starts_with("Private_") => sums[1] += field(line, word).unwrap_or(0),
            _ => {}
        }
    }
    Ok(sums)
}

/// The number behind `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// CPU time and median latency with one thread and with two: ten inferences a second, and one right behind the other.
fn idle(path: &Path) -> Result<()> {
    for (pause, rate) in [(100, "ten a second"), (0, "one after the other")] {
        let mut measured = [[0.0; 2]; 2];
        for (threads, measured) in (1..).zip(&mut measured) {
            let mut session = open(path, threads)?;
            session.run()?;
            std::thread::sleep(Duration::from_millis(pause));
            let before = cpu_time()?;
            let mut latencies = Vec::new();
            // The system counts a thread's time by ticks of some milliseconds.
            let begun = Instant::now();
            while latencies.len() < 30 || begun.elapsed() < Duration::from_millis(300) {
                let start = Instant::now();
                session.run()?;
                latencies.push(start.elapsed().as_secs_f64() * 1e3);
                std::thread::sleep(Duration::from_millis(pause));
            }
            *measured = [(cpu_time()? - before) / latencies.len() as f64, median(latencies)];
        }
        let [[one, alone], [two, together]] = measured;
        println!(
            "  {rate}: CPU time of an inference {one:.4} ms with one thread, {two:.4} with two ({:.2}x); \
             latency {alone:.4} and {together:.4} ms",
            two / one
        );
    }
    Ok(())
}

/// Milliseconds that the threads of this process have run.
fn cpu_time() -> Result<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += stat.split_whitespace().next().ok_or("no time")?.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e6)
}
