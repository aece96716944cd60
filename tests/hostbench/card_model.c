/*
 * card_model.c - the card is the tests' model device, in this process: it sends back what it gets, when it is asked to work.
 */
#include "card.h"
#include "model.h"

bool card_open(struct card *card, int count, char **arguments)
{
    struct model *model = model_create(2);
    (void)count;
    (void)arguments;
    model->no_poll = true; /* it works in card_work, and so outside of what is measured */
    card->transport = &model_transport;
    card->platform = &model_platform_coherent;
    card->context = model;
    return true;
}

void card_work(struct card *card)
{
    struct model *model = card->context;
    uint32_t length = 0;
    model_poll(model, MODEL_TX);
    for (const uint8_t *frame = model_tx_pop(model, &length); frame != NULL; frame = model_tx_pop(model, &length)) {
        if (!model_rx_deliver(model, frame, length))
            model_violation(model, "no buffer for a frame that comes back");
    }
}

bool card_close(struct card *card)
{
    struct model *model = card->context;
    bool clean = model_blocks_out(model) == 0 && atomic_load(&model->violations) == 0;
    model_destroy(model);
    return clean;
}
