//! The proxies and the origin: processes with a configuration, ended when dropped.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::pinned;
use crate::Result;
use crate::process::find;

/// The core that a process runs on, where it matters.
type Core<'a> = Option<&'a str>;

/// A running process.
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(name: &str, directory: &Path, core: Core, program: &Path, arguments: &[&str]) -> Result<Self> {
        let log = directory.join("log");
        let open = || fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()));
        let mut command = pinned(program, core);
        command.args(arguments).stdin(Stdio::null()).stdout(open()?);
        // Appended to, so that both streams can share the file.
        let errors = fs::OpenOptions::new().append(true).open(&log).map_err(|error| error.to_string())?;
        // Compiled plugins are kept here, not with those of the user's.
        command.env("CACHE_DIRECTORY", directory.with_file_name("cache"));
        // Where the counts of a profile go is for the binary to say.
        command.env_remove("LLVM_PROFILE_FILE");
        let child = command.stderr(errors).spawn().map_err(|error| format!("{name} could not be started: {error}"))?;
        Ok(Self { child, log })
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Server {
    /// Asks it to end, and waits for that. `None`: it did not end in time.
    fn end(&mut self, within: Duration) -> Option<ExitStatus> {
        // SIGTERM: NGINX's master has to end its worker. A shell has `kill` where no package brings one.
        let _ = Command::new("sh").args(["-c", &format!("kill {}", self.child.id())]).status();
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.end(Duration::from_secs(10)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What answers behind every proxy.
pub(crate) struct Origin {
    _server: Server,
    /// Its port for HTTP/1.1.
    pub(crate) port: u16,
    /// Its port for HTTP/2 with prior knowledge.
    pub(crate) http2_port: u16,
}

impl Origin {
    /// Starts NGINX with 1 KiB from memory, 1 MiB of JSON from a file, a look at the headers of the plugins, and the files
    /// that lie in `files/json` and `files/text` of the directory, as what these are.
    pub(crate) fn start(work: &Path, core: Core) -> Result<Self> {
        let directory = fresh(work, "origin")?;
        let [port, http2_port] = free_ports()?;
        write(&directory.join("json"), &json(1 << 20))?;
        let headers: String = (1..=5).map(|number| format!("set:$http_x_bench_{number},")).collect();
        let locations = format!(
            "server {{\n listen 127.0.0.1:{port} backlog=4096;\n listen 127.0.0.1:{http2_port} http2;\n\
             default_type application/json;\n\
             location = /1k {{ return 200 \"{}\"; }}\n location = /headers {{ return 200 \"{headers}\"; }}\n\
             location = /json {{ alias {}; }}\n\
             location /files/json/ {{ alias {}; }}\n\
             location /files/text/ {{ alias {}; default_type \"text/plain; charset=utf-8\"; }}\n}}",
            "x".repeat(1024),
            quoted(&directory.join("json")),
            quoted(&work.join("files/json/")),
            quoted(&work.join("files/text/"))
        );
        let server = nginx(&directory, core, &locations)?;
        let origin = Self { _server: server, port, http2_port };
        wait_until_ready(port, || origin._server.log())?;
        Ok(origin)
    }
}

/// A proxy under measurement.
pub(crate) struct Proxy {
    server: Server,
    /// For HTTP/1.1 in cleartext.
    pub(crate) port: u16,
    /// For TLS and QUIC.
    pub(crate) tls_port: u16,
}

impl Proxy {
    /// NGINX as a proxy: one worker, keep-alive to the origin, the usual headers.
    pub(crate) fn nginx(work: &Path, core: Core, origin: u16) -> Result<Self> {
        let directory = fresh(work, "nginx")?;
        let [port, tls_port] = free_ports()?;
        let (certificate, key) = (quoted(&work.join("cert.pem")), quoted(&work.join("key.pem")));
        let server = nginx(
            &directory,
            core,
            &format!(
                "upstream origin {{\n server 127.0.0.1:{origin};\n keepalive 256;\n\
                 keepalive_requests 1000000000;\n keepalive_time 1d;\n}}\n\
                 server {{\n listen 127.0.0.1:{port} backlog=4096;\n listen 127.0.0.1:{tls_port} ssl http2 backlog=4096;\n\
                 ssl_certificate {certificate};\n ssl_certificate_key {key};\n ssl_protocols TLSv1.3;\n\
                 location / {{\n proxy_pass http://origin;\n proxy_http_version 1.1;\n\
                 proxy_set_header Connection \"\";\n proxy_set_header Host $host;\n\
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
                 proxy_set_header X-Forwarded-Proto $scheme;\n}}\n}}"
            ),
        )?;
        Ok(Self { server, port, tls_port })
    }

    /// The gateway, with what `config` writes for a cleartext port, a TLS port and a directory for files, which is called
    /// `name`.
    pub(crate) fn gateway(
        work: &Path,
        name: &str,
        binary: &Path,
        core: Core,
        config: impl FnOnce(u16, u16, &Path) -> String,
    ) -> Result<Self> {
        let directory = fresh(work, name)?;
        let [port, tls_port] = free_ports()?;
        let file = directory.join("gateway.yaml");
        write(&file, &config(port, tls_port, &directory))?;
        let server = Server::start("the gateway", &directory, core, binary, &["run", "-c", &file.to_string_lossy()])?;
        Ok(Self { server, port, tls_port })
    }

    /// Waits until it answers.
    pub(crate) fn wait_until_ready(&self) -> Result {
        wait_until_ready(self.port, || self.server.log())
    }

    /// Ends it; an error tells what it has printed if it does not end well.
    pub(crate) fn stop(mut self) -> Result {
        match self.server.end(Duration::from_secs(60)) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("the proxy ended with {status}; its log:\n{}", self.log())),
            None => Err(format!("the proxy did not end when asked to; its log:\n{}", self.log())),
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.server.child.id()
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// utime + stime of its processes, and of those that have ended.
    pub(crate) fn cpu_ticks(&self) -> Result<u64> {
        let mut ticks = 0;
        let mut left = vec![self.server.child.id().to_string()];
        while let Some(pid) = left.pop() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_err(|error| format!("the proxy is gone: {error}; its log:\n{}", self.server.log()))?;
            ticks += cpu_of(&stat).ok_or_else(|| format!("unreadable: {stat}"))?;
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
            for task in tasks.flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                left.extend(children.split_whitespace().map(str::to_owned));
            }
        }
        Ok(ticks)
    }
}

/// utime, stime, cutime and cstime of a line of /proc/PID/stat (proc(5)). The name in parentheses may hold anything.
fn cpu_of(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat[stat.rfind(") ")? + 2..].split_whitespace().collect();
    fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// NGINX with one worker and `http` as its configuration.
fn nginx(directory: &Path, core: Core, http: &str) -> Result<Server> {
    let program = find("nginx").ok_or("nginx is not installed")?;
    let config = directory.join("nginx.conf");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {};\n", quoted(&directory.join(name))))
        .collect();
    // `user root` where the tests run as root: NGINX's own user may not read the target directory.
    let user = if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        "user root;\n"
    } else {
        ""
    };
    let pid = quoted(&directory.join("pid"));
    write(
        &config,
        &format!(
            "daemon off;\n{user}worker_processes 1;\npid {pid};\nerror_log stderr error;\n\
             events {{ worker_connections 8192; }}\nhttp {{\naccess_log off;\nkeepalive_timeout 300s;\n\
             keepalive_requests 1000000000;\nsendfile on;\ntcp_nopush on;\nopen_file_cache max=16;\n{temporary}{http}\n}}\n"
        ),
    )?;
    let (prefix, config) = (directory.to_string_lossy(), config.to_string_lossy());
    Server::start("nginx", directory, core, &program, &["-p", &prefix, "-c", &config, "-e", "stderr"])
}

/// A path as one word of an NGINX configuration, also with spaces in it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// One request in HTTP/1.1, the whole response as text.
pub(crate) fn get(port: u16, path: &str, fields: &str) -> Result<String> {
    let fail = |error: std::io::Error| format!("GET {path}: {error}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(fail)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(fail)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n").map_err(fail)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).map_err(fail)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

fn wait_until_ready(port: u16, log: impl Fn() -> String) -> Result {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if get(port, "/1k", "").is_ok_and(|response| response.starts_with("HTTP/1.1 200 ")) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("no answer on port {port}; the log:\n{}", log()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ports that nobody uses. NGINX can't be asked which one it took, so they are chosen before.
fn free_ports() -> Result<[u16; 2]> {
    let bind = || TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string());
    let (first, second) = (bind()?, bind()?);
    let port =
        |listener: &TcpListener| listener.local_addr().map(|local| local.port()).map_err(|error| error.to_string());
    Ok([port(&first)?, port(&second)?])
}

fn fresh(work: &Path, name: &str) -> Result<PathBuf> {
    let directory = work.join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory)
}

fn write(file: &Path, text: &str) -> Result {
    fs::write(file, text).map_err(|error| format!("can't write {}: {error}", file.display()))
}

/// A list of customers of about `size` bytes: one value in six is personal, as in the answers of many services.
fn json(size: usize) -> String {
    let mut text = String::with_capacity(size + 512);
    text.push_str("{\"customers\":[");
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        if number > 0 {
            text.push(',');
        }
        text.push_str(&format!(
            "{{\"id\":{number},\"name\":\"Customer {number}\",\"email\":\"customer.{number}@example.com\",\
             \"status\":\"active\",\"note\":\"prefers delivery before noon, ring twice\",\"balance\":{}.25}}",
            number % 997
        ));
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_spaces_is_one_word_for_nginx() {
        assert_eq!(quoted(Path::new("/a b/c\"d\\e")), r#""/a b/c\"d\\e""#);
    }

    #[test]
    fn cpu_time_is_read_past_a_name_with_spaces() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 10 0 0 0 7 5 2 1 20 0 1 0 100 0 0";
        assert_eq!(cpu_of(stat), Some(15));
        assert_eq!(cpu_of("42 (short) S 1"), None);
    }
}
