//! Measures the mount against a plain folder, and against sshfs where a private sshd can be started.

fn main() {
    if let Err(why) = sss_integration::bench::main(std::env::args().skip(1)) {
        eprintln!("3s-bench: {why}");
        std::process::exit(1);
    }
}
