//! Stub for programs without the feature `bars`.

#[derive(Debug)]
pub(super) struct Bar;

impl Bar {
    pub(super) fn start(_name: &str) -> Self {
        Self
    }

    pub(super) fn hidden() -> Self {
        Self
    }

    pub(super) fn bytes(&self, _done: u64, _total: Option<u64>) {}

    pub(super) fn clear(&self) {}
}

pub(super) fn suspend(print: impl FnOnce()) {
    print();
}
