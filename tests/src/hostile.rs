//! Plugin files that are made to harm whoever reads or compiles them. Each is small, or repeats itself: they are written
//! here, not kept.

use crate::guests;

/// A file, and what is said of it.
pub struct HostileFile {
    /// What is wrong with it.
    pub what: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// Words of the refusal, any of them: which limit is reached first may be the machine's matter.
    pub refusal: &'static [&'static str],
}

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// What is said where a limit of the compilation is reached.
const TOO_MUCH: &[&str] = &["CPU time", "of memory", "was not done after", "of code"];

/// What is said where the engine, or the contract, does not take it.
const INVALID: &[&str] = &["not a valid plugin", "nested too deep", "does not export"];

/// Either.
const REFUSED: &[&str] = &[INVALID[0], INVALID[1], INVALID[2], TOO_MUCH[0], TOO_MUCH[1], TOO_MUCH[2], TOO_MUCH[3]];

/// An unsigned LEB128 number.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        bytes.push(byte | if value == 0 { 0 } else { 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// A section, or whatever else is preceded by its length.
fn sized(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &leb(content.len()), content].concat()
}

/// A list of the same item.
fn many(count: usize, item: &[u8]) -> Vec<u8> {
    [leb(count), item.repeat(count)].concat()
}

/// A component with a core module inside, which is compiled before anybody looks for the contract.
fn wrapped(module: &[u8]) -> Vec<u8> {
    [COMPONENT, &sized(&[1], module)].concat()
}

/// A module with functions of the type `[] -> []`; `body` is what stands between the size and `end`, locals included.
fn functions(count: usize, body: &[u8]) -> Vec<u8> {
    let code = sized(&[], &[body, &[0x0b]].concat());
    [MODULE, &sized(&[1], &[1, 0x60, 0, 0]), &sized(&[3], &many(count, &[0])), &sized(&[10], &many(count, &code))]
        .concat()
}

/// A function with so many locals that repeats something.
fn function(locals: usize, repeated: &[u8], times: usize, after: &[u8]) -> Vec<u8> {
    let locals = if locals == 0 { vec![0] } else { [&[1][..], &leb(locals), &[0x7f]].concat() };
    wrapped(&functions(1, &[locals, repeated.repeat(times), after.to_vec()].concat()))
}

/// The body of a function of loops in each other, each of which changes some of many locals.
fn nested_loops(depth: usize, locals: usize) -> Vec<u8> {
    let mut body = [&[1][..], &leb(locals), &[0x7f]].concat();
    for level in 0..depth {
        body.extend_from_slice(&[0x03, 0x40]);
        for step in 0..4 {
            let (one, other) = (leb((level * 4 + step) % locals), leb((level * 7 + step * 31) % locals));
            body.extend([&[0x20][..], &one, &[0x20], &other, &[0x6a, 0x21], &one].concat());
        }
    }
    for level in 0..depth {
        body.extend([&[0x20][..], &leb(level % locals), &[0x0d, 0, 0x0b]].concat());
    }
    body
}

fn nested_components(depth: usize) -> Vec<u8> {
    let mut component = COMPONENT.to_vec();
    for _ in 0..depth {
        // Each copies the one before; what is in it stays small.
        component = [COMPONENT, &sized(&[4], &component)].concat();
    }
    component
}

/// A table of jumps out of one block.
fn jumps(count: usize) -> Vec<u8> {
    let body = [&[0, 0x02, 0x40, 0x41, 0, 0x0e][..], &many(count, &[0]), &[0, 0x0b]].concat();
    wrapped(&functions(1, &body))
}

/// Types of components in each other.
pub fn nested_types(depth: usize) -> Vec<u8> {
    [COMPONENT, &sized(&[7], &[&[1][..], &[0x41, 1, 1].repeat(depth)].concat())].concat()
}

/// Tuples of two of the one before.
fn doubled_types(count: usize) -> Vec<u8> {
    let mut text = "(component (type $t0 (tuple u8 u8))".to_owned();
    for at in 1..count {
        text += &format!("(type $t{at} (tuple $t{} $t{}))", at - 1, at - 1);
    }
    guests::wat(&(text + ")"))
}

/// Instances of instances of a module with a start function that does nothing but run.
fn many_instances(count: usize) -> Vec<u8> {
    let one = "(core instance (instantiate $m))".repeat(count);
    guests::wat(&format!("(component (core module $m (memory 1) (func $s) (start $s)) {one})"))
}

/// A file that takes a while to compile, and is no plugin then.
pub fn slow() -> Vec<u8> {
    wrapped(&functions(8_000, &nested_loops(40, 50)))
}

/// Every file. `handler` makes a module of the contract with another `describe`.
pub fn files(handler: impl Fn(&str) -> Vec<u8>) -> Vec<HostileFile> {
    let file = |what, bytes, refusal| HostileFile { what, bytes, refusal };
    let huge_memory = [MODULE, &sized(&[5], &many(1, &[0, 0x80, 0x80, 0x04]))].concat();
    let huge_table = [MODULE, &sized(&[4], &many(1, &[0x70, 0, 0x80, 0xad, 0xe2, 0x04]))].concat();
    let claimed = [MODULE, &sized(&[12], &leb(100_000)), &sized(&[11], &leb(4_000_000_000))].concat();
    let types = [MODULE, &sized(&[1], &many(900_000, &[0x60, 0, 0]))].concat();
    let wide = [MODULE, &sized(&[1], &many(1000, &[&[0x60][..], &many(1000, &[0x7f]), &many(1000, &[0x7e])].concat()))];
    let name = [leb(90_000), vec![b'x'; 90_000]].concat();
    let names = [MODULE, &sized(&[0], &[&leb(4)[..], b"name", &[1], &leb(90_010), &name].concat())].concat();
    vec![
        file("1,500 types in each other", nested_types(1500), &["nested too deep"]),
        file("300,000 types in each other", nested_types(300_000), &["nested too deep", "of memory"]),
        file("components in each other", nested_components(10_000), REFUSED),
        file("loops in each other", wrapped(&functions(1, &nested_loops(9_000, 3_000))), TOO_MUCH),
        file("blocks in each other", function(0, &[0x02, 0x40], 300_000, &[0x0b].repeat(300_000)), REFUSED),
        file("a function of a million calls of itself", function(0, &[0x10, 0], 1_000_000, &[]), TOO_MUCH),
        file(
            "a function with many locals that are all alive",
            function(40_000, &[0x20, 1, 0x21, 2], 500_000, &[]),
            REFUSED,
        ),
        file("three million jumps", jumps(3_000_000), REFUSED),
        file("400,000 functions", wrapped(&functions(400_000, &[0, 0x41, 1, 0x1a])), TOO_MUCH),
        file("more types than anybody has", wrapped(&types), REFUSED),
        file("functions of a thousand parameters", wrapped(&wide.concat()), REFUSED),
        file("a memory of 4 GiB", wrapped(&huge_memory), INVALID),
        file("a table of ten million", wrapped(&huge_table), INVALID),
        file("counts that nothing follows", wrapped(&claimed), INVALID),
        file("a name without end", wrapped(&names), INVALID),
        file("types that double", doubled_types(60), REFUSED),
        file("many instances", many_instances(900), INVALID),
        file("a describe without end", handler("(loop (br 0)) unreachable"), &["describe: used more than", "CPU time"]),
        file("a describe that calls itself", handler("call $describe"), &["describe: trapped"]),
        file(
            "a describe that takes memory",
            handler("(loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) unreachable"),
            &["describe: needs more than 16777216 bytes of memory"],
        ),
    ]
}
