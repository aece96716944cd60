// The calls that are measured, the same text for both sides.

use super::Needs;
use super::card::{Card, FRAME, TinyHal, TinyTransport};
use super::meter::stack;
use std::mem::MaybeUninit;

const BUFFER: usize = 2048;
const LARGE: usize = 1514;

#[cfg(feature = "alloc")]
pub fn net<const N: usize>() -> Needs {
    use net::{TxBuffer, VirtIONet};

    let card = Card::new();
    let mut made: Box<MaybeUninit<_>> = Box::new_uninit();
    let new = stack(|| {
        made.write(VirtIONet::<TinyHal, _, N>::new(TinyTransport(&card), BUFFER));
    });
    // SAFETY: it was just written.
    let mut net = unsafe { made.assume_init() }.unwrap();
    let mut calls = vec![("new", new)];
    let (small, large) = (TxBuffer::from(&[0; FRAME]), TxBuffer::from(&[0; LARGE]));
    calls.push(("send", stack(|| net.send(small).unwrap())));
    calls.push(("send large", stack(|| net.send(large).unwrap())));
    calls.push(("no frame", stack(|| assert!(net.receive().is_err()))));
    card.deliver();
    let mut frame = None;
    calls.push(("receive", stack(|| frame = net.receive().ok())));
    assert_eq!(frame.as_ref().unwrap().packet().len(), FRAME);
    calls.push(("recycle", stack(|| net.recycle_rx_buffer(frame.unwrap()).unwrap())));
    for _ in 0..N {
        net.send(TxBuffer::from(&[0; LARGE])).unwrap();
    }
    let mut net = MaybeUninit::new(net);
    // SAFETY: it is dropped once.
    calls.push(("drop", stack(|| unsafe { net.assume_init_drop() })));
    Needs { value: size_of_val(&net), calls }
}

pub fn raw<const N: usize>() -> Needs {
    use net::VirtIONetRaw;

    let card = Card::new();
    let mut made: Box<MaybeUninit<_>> = Box::new_uninit();
    let new = stack(|| {
        made.write(VirtIONetRaw::<TinyHal, _, N>::new(TinyTransport(&card)));
    });
    // SAFETY: it was just written.
    let mut raw = unsafe { made.assume_init() }.unwrap();
    let mut calls = vec![("new", new)];
    let (mut buffer, mut token, mut lengths) = ([0; BUFFER], 0, (0, 0));
    calls.push(("send", stack(|| raw.send(&buffer[..FRAME]).unwrap())));
    calls.push(("send large", stack(|| raw.send(&buffer[..LARGE]).unwrap())));
    // SAFETY: the buffer stays in place, and nobody touches it until the request is completed.
    calls.push(("rx begin", stack(|| token = unsafe { raw.receive_begin(&mut buffer) }.unwrap())));
    calls.push(("no frame", stack(|| assert_eq!(raw.poll_receive(), None))));
    card.deliver();
    // SAFETY: the buffer is the one of the token.
    calls.push(("rx end", stack(|| lengths = unsafe { raw.receive_complete(token, &mut buffer) }.unwrap())));
    assert_eq!(lengths.1, FRAME);
    // SAFETY: as for the other direction, here and below.
    calls.push(("tx begin", stack(|| token = unsafe { raw.transmit_begin(&buffer[..LARGE]) }.unwrap())));
    // SAFETY: as above.
    calls.push(("tx end", stack(|| assert!(unsafe { raw.transmit_complete(token, &buffer[..LARGE]) }.is_ok()))));
    let mut raw = MaybeUninit::new(raw);
    // SAFETY: it is dropped once.
    calls.push(("drop", stack(|| unsafe { raw.assume_init_drop() })));
    Needs { value: size_of_val(&raw), calls }
}
