//! Programs of their own: the `gateway` binary, the services of the example. They end with the value.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where cargo puts the binaries of this build.
pub fn binary(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os("GATEWAY_BINARIES") {
        return Path::new(&directory).join(name);
    }
    // target/debug/deps/TEST-HASH → target/debug
    let test = std::env::current_exe().expect("this program has a path");
    test.ancestors().nth(2).expect("a target directory").join(name)
}

/// A `gateway run` process whose error log is read.
pub struct Process {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Process {
    /// Starts `gateway run -c CONFIG`. The configuration has to log in JSON at level info.
    pub fn start(config: &Path) -> Self {
        let program = binary("gateway");
        let mut child = Command::new(&program)
            .args(["run", "-c"])
            .arg(config)
            // Compiled plugins of one test are no business of the next one.
            .env("CACHE_DIRECTORY", config.with_file_name("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}; `cargo build -p gateway`", program.display()));
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a log line that contains `text`.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_either(&[text])
    }

    /// Waits for a log line that contains one of these texts.
    pub fn wait_for_either(&self, texts: &[&str]) -> String {
        let mut others = Vec::new();
        loop {
            let line = self.lines.recv_timeout(crate::PATIENCE);
            let line =
                line.unwrap_or_else(|_| panic!("the gateway never logged {texts:?}, but\n{}", others.join("\n")));
            if texts.iter().any(|text| line.contains(text)) {
                return line;
            }
            others.push(line);
        }
    }

    /// CPU time that it has used, in the kernel's ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // The name, in parentheses, may hold spaces; `utime` and `stime` are the 12th and 13th field after it.
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        fields.map(|field| field.parse::<u64>().expect("a number")).sum()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, named without `SIG`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name]).arg(self.id().to_string()).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        crate::eventually("the process ends", || self.child.try_wait().expect("waitable"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service of the microservices example, on a port that the system chose.
pub struct ExampleService {
    child: Child,
    address: SocketAddr,
}

impl ExampleService {
    /// Starts it.
    pub fn start(name: &str) -> Self {
        let program = binary("microservices");
        let mut child = Command::new(&program)
            .args([name, "--address", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `cargo build -p microservices`", program.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("the service {name} said {line:?}")) }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ExampleService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
