//! What every function of the interface has around its one call: the boundary that no panic
//! passes, out-parameters that are written first, pointers that are checked, handles that stay an
//! error after a defect.

use std::any::Any;
use std::mem::{align_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::result::{chatproto_result, fail};

/// Runs `body`; a panic becomes a result.
#[inline]
pub(crate) fn boundary(body: impl FnOnce() -> Result<(), chatproto_result>) -> chatproto_result {
    // what a panic may have left half done is in a handle, and those are poisoned
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => chatproto_result::Ok,
        Ok(Err(result)) => result,
        Err(payload) => panicked(payload),
    }
}

/// Runs what gives nothing back, such as freeing.
pub(crate) fn quietly(body: impl FnOnce()) {
    boundary(|| {
        body();
        Ok(())
    });
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> chatproto_result {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or(payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    let result =
        fail(chatproto_result::Panicked, format_args!("a defect of the library was met: {text}"));
    if !payload.is::<&str>() && !payload.is::<String>() {
        // dropping what is unknown might panic again
        std::mem::forget(payload);
    }
    result
}

/// Something that C holds a pointer to. After a panic it is poisoned for good.
#[derive(Debug, Default)]
pub(crate) struct Handle<T> {
    inner: T,
    poisoned: AtomicBool,
}

impl<T> Handle<T> {
    pub(crate) fn new(inner: T) -> Self {
        Handle { inner, poisoned: AtomicBool::new(false) }
    }

    /// Uses it from one thread of several.
    pub(crate) fn shared<R>(
        &self,
        body: impl FnOnce(&T) -> Result<R, chatproto_result>,
    ) -> Result<R, chatproto_result> {
        let watch = Watch::new(&self.poisoned)?;
        let result = body(&self.inner);
        std::mem::forget(watch);
        result
    }

    /// Uses it alone.
    pub(crate) fn alone<R>(
        &mut self,
        body: impl FnOnce(&mut T) -> Result<R, chatproto_result>,
    ) -> Result<R, chatproto_result> {
        let watch = Watch::new(&self.poisoned)?;
        let result = body(&mut self.inner);
        std::mem::forget(watch);
        result
    }
}

/// Poisons the handle if it is dropped, which only a panic does.
struct Watch<'a>(&'a AtomicBool);

impl<'a> Watch<'a> {
    fn new(poisoned: &'a AtomicBool) -> Result<Self, chatproto_result> {
        if poisoned.load(Relaxed) {
            return Err(fail(
                chatproto_result::Poisoned,
                format_args!("the handle was given up after a defect: free it"),
            ));
        }
        Ok(Watch(poisoned))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// An out-parameter, with a value in it from the start.
///
/// # Safety
/// `pointer` is NULL or points to a `T` that may be written while `'a` lasts; what is there need
/// not be valid.
#[inline]
pub(crate) unsafe fn out<'a, T>(
    pointer: *mut T,
    value: T,
    what: &str,
) -> Result<&'a mut T, chatproto_result> {
    if pointer.is_null() {
        return Err(is_null(what));
    }
    // SAFETY: writable by the caller's promise; valid once it is written
    unsafe {
        pointer.write(value);
        Ok(&mut *pointer)
    }
}

/// What a handle or a struct of the caller's points to.
///
/// # Safety
/// `pointer` is NULL or points to a valid `T` that nobody changes while `'a` lasts.
#[inline]
pub(crate) unsafe fn at<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, chatproto_result> {
    // SAFETY: the caller's promise
    unsafe { pointer.as_ref() }.ok_or_else(|| is_null(what))
}

/// The same for one that is used by one thread at a time.
///
/// # Safety
/// `pointer` is NULL or points to a valid `T` that nobody else uses while `'a` lasts.
pub(crate) unsafe fn at_mut<'a, T>(
    pointer: *mut T,
    what: &str,
) -> Result<&'a mut T, chatproto_result> {
    // SAFETY: the caller's promise
    unsafe { pointer.as_mut() }.ok_or_else(|| is_null(what))
}

/// A struct whose first member is its size in the caller's header. Later versions append members, whose
/// zero means the default.
///
/// # Safety
/// It is `repr(C)` and begins with `size: usize`; `FIRST` is its size in the first version.
pub(crate) unsafe trait Growing: Copy {
    /// The size in the first version that had it.
    const FIRST: usize;
}

/// A struct of the caller's, of any version: members that the caller's header does not have are those
/// of `default`.
///
/// # Safety
/// `pointer` points to a struct of that kind, of as many bytes as its `size` says.
pub(crate) unsafe fn read_growing<T: Growing>(
    pointer: *const T,
    mut default: T,
    what: &str,
) -> Result<T, chatproto_result> {
    // SAFETY: the size is the first member, and there in every version
    let size = unsafe { pointer.cast::<usize>().read() };
    check_size::<T>(size, what)?;
    let shared = size.min(size_of::<T>());
    // SAFETY: the caller's struct has `size` bytes
    let tail = unsafe { slice::from_raw_parts(pointer.cast::<u8>().add(shared), size - shared) };
    if tail.iter().any(|&byte| byte != 0) {
        return Err(fail(
            chatproto_result::Unsupported,
            format_args!("`{what}` has a member that a later version of the library knows"),
        ));
    }
    // SAFETY: so many bytes are in both, and the caller's are those of the same members
    unsafe {
        (&raw mut default).cast::<u8>().copy_from_nonoverlapping(pointer.cast(), shared);
    }
    Ok(default)
}

/// Writes a struct of any version into the caller's: the members that the caller's header has.
///
/// # Safety
/// As for [`read_growing`]; the struct may be written.
pub(crate) unsafe fn write_growing<T: Growing>(
    pointer: *mut T,
    value: T,
    what: &str,
) -> Result<(), chatproto_result> {
    // SAFETY: the size is the first member, and there in every version
    let size = unsafe { pointer.cast::<usize>().read() };
    check_size::<T>(size, what)?;
    // SAFETY: the caller's struct has `size` bytes, and all of them may be written
    unsafe {
        pointer.cast::<u8>().write_bytes(0, size);
        let shared = size.min(size_of::<T>());
        pointer.cast::<u8>().copy_from_nonoverlapping((&raw const value).cast(), shared);
        pointer.cast::<usize>().write(size);
    }
    Ok(())
}

fn check_size<T: Growing>(size: usize, what: &str) -> Result<(), chatproto_result> {
    if size >= T::FIRST && size.is_multiple_of(align_of::<T>()) && size <= LARGEST {
        return Ok(());
    }
    Err(fail(
        chatproto_result::InvalidArgument,
        format_args!(
            "`{what}` has the size {size}: set it to `sizeof`, or take the default options"
        ),
    ))
}

/// No version of a struct has more bytes.
const LARGEST: usize = 4096;

/// Hands something over to C.
pub(crate) fn give_away<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes it back, to be dropped. NULL is nothing.
///
/// # Safety
/// `pointer` is NULL or came from [`give_away`] and was not taken back.
pub(crate) unsafe fn take_back<T>(pointer: *mut T) -> Option<Box<T>> {
    // SAFETY: the caller's promise
    (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
}

#[cold]
fn is_null(what: &str) -> chatproto_result {
    fail(chatproto_result::NullPointer, format_args!("`{what}` is NULL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_result_and_poisons_the_handle() {
        let mut handle = Handle::new(1);
        let panics = || -> Result<(), chatproto_result> { panic!("on purpose") };
        assert_eq!(boundary(|| handle.alone(|_| panics())), chatproto_result::Panicked);
        assert_eq!(boundary(|| handle.alone(|_| Ok(()))), chatproto_result::Poisoned);
        assert_eq!(boundary(|| handle.shared(|_| Ok(()))), chatproto_result::Poisoned);
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Grown {
        size: usize,
        old: usize,
        new: usize,
    }

    // SAFETY: its first version had the first two members
    unsafe impl Growing for Grown {
        const FIRST: usize = 2 * size_of::<usize>();
    }

    #[test]
    fn structs_of_other_versions_are_read_and_written() {
        const WORD: usize = size_of::<usize>();
        let default = Grown { size: 0, old: 7, new: 8 };
        let read = |words: &[usize]| {
            // SAFETY: there are at least as many words as the first one says
            unsafe { read_growing(words.as_ptr().cast(), default, "grown") }
        };
        let of = |size, old, new| Ok(Grown { size, old, new });
        assert_eq!(read(&[2 * WORD, 1]), of(2 * WORD, 1, 8), "an older one");
        assert_eq!(read(&[3 * WORD, 1, 2]), of(3 * WORD, 1, 2));
        assert_eq!(read(&[4 * WORD, 1, 2, 0]), of(4 * WORD, 1, 2), "a newer one, with its default");
        assert_eq!(read(&[4 * WORD, 1, 2, 3]), Err(chatproto_result::Unsupported));
        for size in [0, WORD, 2 * WORD + 1, usize::MAX] {
            assert_eq!(read(&[size, 1, 2, 3]), Err(chatproto_result::InvalidArgument), "{size}");
        }
        for words in 2..5 {
            let mut room = [99; 5];
            room[0] = words * WORD;
            let value = Grown { size: 0, old: 1, new: 2 };
            // SAFETY: there is room for as many words as the first one says
            assert_eq!(unsafe { write_growing(room.as_mut_ptr().cast(), value, "grown") }, Ok(()));
            let mut expected = [words * WORD, 1, 2, 0, 99];
            expected[words..].fill(99);
            assert_eq!(room, expected, "what lies behind it is not touched");
        }
    }

    #[test]
    fn a_payload_that_panics_when_dropped_stays_inside() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(boundary(|| std::panic::panic_any(Bad)), chatproto_result::Panicked);
    }
}
