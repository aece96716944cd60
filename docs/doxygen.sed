# Makes the plain comments of include/virtio_net.h readable for Doxygen, which reads the header through this filter
# (docs/Doxyfile). A comment that begins a line documents what follows it, one behind code documents that code; indented ones are
# headings for the reader of the header. The rule of a section becomes a page with the section's text.
1s|^/\*$|/** @file|
/^\/\* ---/ {
    /\*\/$/d
    s|^/\* -* *\(.*\)$|/** @page \1 The calls: \1|
    b
}
s|^/\* |/** |
s|^/\*$|/**|
s|^\(.*[^ ].* \)/\* |\1/**< |
# The checks at the end are no part of what is offered.
/^#define VIRTIO_NET_PROMISE/d
