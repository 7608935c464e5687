//! Which files are compiled when, and what is remembered of them.

use super::*;

fn asked(path: &str, hash: &str, seconds: u64) -> LoadRequest {
    let compile = Compile { time: Duration::from_secs(seconds), ..Compile::default() };
    let (limits, hash) = (PluginLimits::default(), hash.to_owned());
    LoadRequest { path: path.into(), hash, limits, compile, cache: None }
}

/// Asks, and ends it with an error of its compilation where it is to be compiled. Whether it was known.
fn ask(state: &mut LoadsState, asked: &LoadRequest) -> bool {
    if state.files.iter().any(|file| file.answers(asked)) {
        return true;
    }
    add(state, asked);
    let id = state.last;
    state.find(id).unwrap().end(Err(LoadError::Compile("too slow".to_owned())));
    false
}

/// A file that waits.
fn add(state: &mut LoadsState, asked: &LoadRequest) {
    let interrupted = state.make_room(asked);
    state.last += 1;
    let (id, name, given_up) = (state.last, "f".into(), Arc::default());
    state.files.push(FileLoad {
        id,
        name,
        asked: asked.clone(),
        stage: LoadStage::Waits(vec![]),
        interrupted,
        given_up,
    });
    state.queue.push_back(id);
}

#[test]
fn files_that_are_compiled_together_have_the_machine_s_share_of_memory_together() {
    let mut state = LoadsState { memory: 1536 << 20, ..LoadsState::default() };
    for path in ["a", "b"] {
        add(&mut state, &asked(path, "1", 30));
    }
    let mut first = state.next().expect("one alone begins");
    assert!(state.next().is_none() && state.lacks_memory());
    // It takes long and makes room; that is known before its process is gone.
    state.taken -= std::mem::take(&mut first.memory);
    assert!(!state.lacks_memory());
    let mut second = state.next().expect("there is room");
    for job in [&mut first, &mut second] {
        state.ends(job);
    }
    assert_eq!((state.taken, state.running), (0, 0));
}

#[test]
fn what_interrupts_a_compilation_again_and_again_is_tried_less_and_less() {
    let (mut state, asked) = (LoadsState::default(), asked("f", "1", 30));
    let interrupted = || LoadError::Interrupted("killed".to_owned());
    let pauses = [30, 60, 120, 240, 480, 600, 600].map(Duration::from_secs);
    for pause in pauses {
        add(&mut state, &asked);
        let id = state.last;
        let file = state.find(id).unwrap();
        file.end(Err(interrupted()));
        assert_eq!(file.holds(&interrupted()), pause);
        assert!(file.answers(&asked));
    }
    assert_eq!(state.files.len(), 1);
}

#[test]
fn what_a_file_is_under_some_limits_is_not_forgotten_when_it_is_asked_for_under_others() {
    let mut state = LoadsState::default();
    let [in_force, edited] = [30, 60].map(|seconds| asked("f.wasm", "1", seconds));
    assert!(!ask(&mut state, &in_force) && !ask(&mut state, &edited));
    for _ in 0..3 {
        assert!(ask(&mut state, &in_force) && ask(&mut state, &edited), "it is compiled over and over");
    }
    for seconds in 100..100 + 3 * KEPT as u64 {
        ask(&mut state, &asked("f.wasm", "1", seconds));
    }
    assert_eq!(state.files.len(), KEPT, "every edit leaves something");
    assert!(!ask(&mut state, &asked("f.wasm", "2", 30)));
    assert_eq!(state.files.len(), 1, "of a file that is not there any more");
}
