/*
 * Answers to ARP requests and pings, made in place.
 *
 * Licence: MIT OR Apache-2.0
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stdint.h>

/* Turns the Ethernet frame of `length` bytes into its answer, of the same length. False where it wants none from the host with
 * this `mac` and `address` (IPv4). */
bool answer(uint8_t *frame, uint32_t length, const uint8_t mac[6], const uint8_t address[4]);

#endif
