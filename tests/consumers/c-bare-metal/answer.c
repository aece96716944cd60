/*
 * ARP (RFC 826) and ICMP echo (RFC 792), as much of them as a host without options needs.
 *
 * Licence: MIT OR Apache-2.0
 */
#include "answer.h"
#include <stddef.h>

int memcmp(const void *left, const void *right, size_t bytes);
void *memcpy(void *restrict target, const void *restrict source, size_t bytes);

/* Offsets in a frame. */
enum { DESTINATION = 0, SOURCE = 6, TYPE = 12, PAYLOAD = 14 };
enum { ARP_OPERATION = 20, ARP_SENDER_MAC = 22, ARP_SENDER = 28, ARP_TARGET_MAC = 32, ARP_TARGET = 38, ARP_END = 42 };
enum {
    IP_LENGTH = 16,
    IP_FRAGMENT = 20,
    IP_PROTOCOL = 23,
    IP_SOURCE = 26,
    IP_DESTINATION = 30,
    ICMP = 34,
    ICMP_CHECKSUM = 36,
    ICMP_END = 42
};

static uint32_t be16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static bool answer_arp(uint8_t *frame, uint32_t length, const uint8_t mac[6], const uint8_t address[4])
{
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1}; /* Ethernet, IPv4, their lengths, operation 1 */
    if (length < ARP_END || memcmp(frame + PAYLOAD, request, 8) != 0 || memcmp(frame + ARP_TARGET, address, 4) != 0) {
        return false;
    }
    frame[ARP_OPERATION + 1] = 2;
    memcpy(frame + ARP_TARGET_MAC, frame + ARP_SENDER_MAC, 10);
    memcpy(frame + ARP_SENDER_MAC, mac, 6);
    memcpy(frame + ARP_SENDER, address, 4);
    return true;
}

static bool answer_ping(uint8_t *frame, uint32_t length, const uint8_t mac[6], const uint8_t address[4])
{
    if (length < ICMP_END || memcmp(frame + DESTINATION, mac, 6) != 0 || memcmp(frame + IP_DESTINATION, address, 4) != 0) {
        return false;
    }
    /* Version 4 without options, whole, ICMP, echo request; and no longer than the frame. */
    if (frame[PAYLOAD] != 0x45 || (be16(frame + IP_FRAGMENT) & 0x3fff) != 0 || frame[IP_PROTOCOL] != 1 ||
        be16(frame + ICMP) != 0x0800 || be16(frame + IP_LENGTH) > length - PAYLOAD) {
        return false;
    }
    memcpy(frame + IP_DESTINATION, frame + IP_SOURCE, 4);
    memcpy(frame + IP_SOURCE, address, 4);
    /* Type 8 becomes 0; the rest of the sum stays (RFC 1624, equation 3). The IP header's sum knows no order. */
    uint32_t sum = (~be16(frame + ICMP_CHECKSUM) & 0xffff) + 0xf7ff;
    sum = ~((sum & 0xffff) + (sum >> 16));
    frame[ICMP] = 0;
    frame[ICMP_CHECKSUM] = (uint8_t)(sum >> 8);
    frame[ICMP_CHECKSUM + 1] = (uint8_t)sum;
    return true;
}

bool answer(uint8_t *frame, uint32_t length, const uint8_t mac[6], const uint8_t address[4])
{
    bool answered = false;
    if (length >= PAYLOAD && be16(frame + TYPE) == 0x0806) {
        answered = answer_arp(frame, length, mac, address);
    } else if (length >= PAYLOAD && be16(frame + TYPE) == 0x0800) {
        answered = answer_ping(frame, length, mac, address);
    }
    if (answered) {
        memcpy(frame + DESTINATION, frame + SOURCE, 6);
        memcpy(frame + SOURCE, mac, 6);
    }
    return answered;
}
