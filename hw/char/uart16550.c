/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hw/char/uart16550.c - NS16550A UART (TI PC16550D datasheet SNLS378, tables 2 to 4)
 * Wires: window 8 x 1 byte; irq 0, level.  Not modelled: baud timing, FCR DMA mode, parity and
 * framing errors, the gate that a PC board puts behind OUT2. */
#include "hw/char/uart16550.h"

enum {
    IER_RX = 0x01, IER_TX = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08,
    IIR_NONE = 0x01, IIR_MODEM = 0x00, IIR_TX = 0x02, IIR_RX = 0x04, IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c, IIR_FIFO = 0xc0,
    FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02, FCR_CLEAR_TX = 0x04,
    LCR_DLAB = 0x80,
    MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10,
    LSR_DR = 0x01, LSR_OE = 0x02, LSR_BI = 0x10, LSR_THRE = 0x20, LSR_TEMT = 0x40,
    LSR_ERRORS = 0x1e,
    MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80, MSR_TERI = 0x04,
    FIFO_SIZE = 16,
};

typedef struct {
    VitDevice parent;
    VitChar *chr;               /* borrowed: the machine owns it */
    struct {
        uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
        uint8_t errors;         /* LSR bits 1..4 */
        uint8_t deltas;         /* MSR bits 0..3 */
        bool thre_pending;      /* the "THR empty" interrupt has not been seen yet */
        VitFifo8 rx, tx;        /* tx: bytes that the host did not take yet */
    } st;
} Uart;

static const uint8_t rx_trigger[4] = { 1, 4, 8, 14 };

static uint8_t modem_lines(const Uart *u)
{
    if (!(u->st.mcr & MCR_LOOP))
        return u->chr ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
    return (uint8_t) ((u->st.mcr & MCR_RTS ? MSR_CTS : 0) | (u->st.mcr & MCR_DTR ? MSR_DSR : 0) |
                      (u->st.mcr & MCR_OUT1 ? MSR_RI : 0) | (u->st.mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static uint32_t rx_capacity(const Uart *u)
{
    return u->st.fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static uint32_t interrupt_reason(const Uart *u) /* pure: state -> IIR */
{
    uint32_t used = vit_fifo8_used(&u->st.rx);
    if ((u->st.ier & IER_LINE) && u->st.errors)
        return IIR_LINE;
    if ((u->st.ier & IER_RX) && used > 0) {
        bool below = (u->st.fcr & FCR_ENABLE) && used < rx_trigger[u->st.fcr >> 6];
        return below ? IIR_TIMEOUT : IIR_RX;
    }
    if ((u->st.ier & IER_TX) && u->st.thre_pending)
        return IIR_TX;
    if ((u->st.ier & IER_MODEM) && u->st.deltas)
        return IIR_MODEM;
    return IIR_NONE;
}

static void uart_update(VitDevice *d)
{
    vit_irq_set(d, 0, interrupt_reason((Uart *) d) != IIR_NONE);
}

static void push_rx(Uart *u, uint8_t byte)
{
    if (vit_fifo8_used(&u->st.rx) >= rx_capacity(u) || !vit_fifo8_push(&u->st.rx, byte))
        u->st.errors |= LSR_OE;
}

/* Gives waiting bytes to the host; the THR counts as empty when none is left. */
static void drain_tx(Uart *u)
{
    int byte;
    while ((byte = vit_fifo8_peek(&u->st.tx)) >= 0) {
        uint8_t data = (uint8_t) byte;
        if (u->chr && vit_char_write(u->chr, &data, 1) == 0)
            return;
        vit_fifo8_pop(&u->st.tx);
    }
    u->st.thre_pending = true;
}

static uint64_t read_rbr(VitDevice *d, uint32_t offset)
{
    (void) offset;
    Uart *u = (Uart *) d;
    int byte = vit_fifo8_pop(&u->st.rx);
    if (byte < 0)
        return 0;
    if (u->chr && !(u->st.mcr & MCR_LOOP))
        vit_char_accept_input(u->chr);
    return (uint64_t) byte;
}

static void write_thr(VitDevice *d, uint32_t offset, uint64_t value)
{
    (void) offset;
    Uart *u = (Uart *) d;
    u->st.thre_pending = false;
    if (u->st.mcr & MCR_LOOP) {
        push_rx(u, (uint8_t) value);
        u->st.thre_pending = true;
        return;
    }
    if (vit_fifo8_used(&u->st.tx) < rx_capacity(u))     /* an overrun of the THR loses the byte */
        vit_fifo8_push(&u->st.tx, (uint8_t) value);
    drain_tx(u);
}

static void wrote_ier(VitDevice *d, uint32_t offset, uint64_t old)
{
    (void) offset;
    Uart *u = (Uart *) d;
    if ((u->st.ier & ~old & IER_TX) && vit_fifo8_used(&u->st.tx) == 0)
        u->st.thre_pending = true;
}

static uint64_t read_iir(VitDevice *d, uint32_t offset)
{
    (void) offset;
    Uart *u = (Uart *) d;
    uint32_t reason = interrupt_reason(u);
    if (reason == IIR_TX)
        u->st.thre_pending = false;
    return reason | (u->st.fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static void write_fcr(VitDevice *d, uint32_t offset, uint64_t value)
{
    (void) offset;
    Uart *u = (Uart *) d;
    bool toggled = (u->st.fcr ^ value) & FCR_ENABLE;
    if (toggled || (value & FCR_CLEAR_RX)) {
        vit_fifo8_reset(&u->st.rx);
        u->st.errors &= (uint8_t) ~LSR_BI;
    }
    if (toggled || (value & FCR_CLEAR_TX)) {
        vit_fifo8_reset(&u->st.tx);
        u->st.thre_pending = true;
    }
    u->st.fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    if (u->chr && !(u->st.mcr & MCR_LOOP))
        vit_char_accept_input(u->chr);
}

static void write_mcr(VitDevice *d, uint32_t offset, uint64_t value)
{
    (void) offset;
    Uart *u = (Uart *) d;
    uint8_t before = modem_lines(u);
    u->st.mcr = value & 0x1f;
    uint8_t after = modem_lines(u);
    u->st.deltas |= (uint8_t) (((before ^ after) & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4);
    if (before & ~after & MSR_RI)
        u->st.deltas |= MSR_TERI;
}

static uint64_t read_lsr(VitDevice *d, uint32_t offset)
{
    (void) offset;
    Uart *u = (Uart *) d;
    uint8_t lsr = u->st.errors;
    if (vit_fifo8_used(&u->st.rx) > 0)
        lsr |= LSR_DR;
    if (vit_fifo8_used(&u->st.tx) == 0)
        lsr |= LSR_THRE | LSR_TEMT;
    u->st.errors = 0;
    return lsr;
}

static uint64_t read_msr(VitDevice *d, uint32_t offset)
{
    (void) offset;
    Uart *u = (Uart *) d;
    uint8_t msr = modem_lines(u) | u->st.deltas;
    u->st.deltas = 0;
    return msr;
}

static int uart_bank(VitDevice *d, uint32_t offset)
{
    (void) offset;
    return ((Uart *) d)->st.lcr & LCR_DLAB ? 1 : 0;
}

static size_t chr_can_receive(void *opaque)
{
    Uart *u = opaque;
    uint32_t used = vit_fifo8_used(&u->st.rx), capacity = rx_capacity(u);
    return (u->st.mcr & MCR_LOOP) || used >= capacity ? 0 : capacity - used;
}

static void chr_receive(void *opaque, const uint8_t *data, size_t size)
{
    Uart *u = opaque;
    for (size_t i = 0; i < size; i++)
        push_rx(u, data[i]);
    uart_update(&u->parent);
}

static void chr_event(void *opaque, VitCharEvent event)
{
    Uart *u = opaque;
    if (event != VIT_CHAR_BREAK)
        return;
    push_rx(u, 0);
    u->st.errors |= LSR_BI;
    uart_update(&u->parent);
}

static void chr_writable(void *opaque)
{
    Uart *u = opaque;
    if (vit_fifo8_used(&u->st.tx) > 0) {
        drain_tx(u);
        uart_update(&u->parent);
    }
}

static const VitCharFront uart_front = {
    .can_receive = chr_can_receive, .receive = chr_receive, .event = chr_event,
    .writable = chr_writable,
};

void vit_uart16550_set_chr(VitDevice *uart, VitChar *chr)
{
    Uart *u = (Uart *) uart;
    if (u->chr)
        vit_char_attach(u->chr, NULL, NULL);
    u->chr = chr;
    if (chr)
        vit_char_attach(chr, &uart_front, u);
}

static void uart_reset(VitDevice *d)
{
    Uart *u = (Uart *) d;
    vit_fifo8_init(&u->st.rx, FIFO_SIZE);
    vit_fifo8_init(&u->st.tx, FIFO_SIZE);
}

static void uart_finish(VitDevice *d)
{
    vit_uart16550_set_chr(d, NULL);
}

static const VitReg uart_regs[] = {
    { 0, 0, "RBR/THR", .read = read_rbr, .write = write_thr },
    { 0, 1, "DLL", VIT_AT(Uart, st.dll), .rw = 0xff, .reset = 0x0c },
    { 1, 0, "IER", VIT_AT(Uart, st.ier), .rw = 0x0f, .wrote = wrote_ier },
    { 1, 1, "DLM", VIT_AT(Uart, st.dlm), .rw = 0xff },
    { 2, VIT_ANY_BANK, "IIR/FCR", .read = read_iir, .write = write_fcr },
    { 3, VIT_ANY_BANK, "LCR", VIT_AT(Uart, st.lcr), .rw = 0xff },
    { 4, VIT_ANY_BANK, "MCR", VIT_AT(Uart, st.mcr), .rw = 0x1f, .write = write_mcr },
    { 5, VIT_ANY_BANK, "LSR", .read = read_lsr },
    { 6, VIT_ANY_BANK, "MSR", .read = read_msr },
    { 7, VIT_ANY_BANK, "SCR", VIT_AT(Uart, st.scr), .rw = 0xff },
};
static const VitField uart_hidden[] = {
    VIT_UINT(Uart, st.fcr, .max = 0xc9), VIT_UINT(Uart, st.errors, .max = LSR_ERRORS),
    VIT_UINT(Uart, st.deltas, .max = 0x0f), VIT_BOOL(Uart, st.thre_pending, true),
    VIT_FIFO8(Uart, st.rx), VIT_FIFO8(Uart, st.tx), { VIT_END },
};

const VitDeviceClass vit_uart16550_class = {
    .name = "uart16550", .description = "16550A serial port", .version = 1, VIT_STATE(Uart, st),
    .mmio_size = 8, .n_irqs = 1, VIT_REGS(uart_regs), .hidden = uart_hidden, .bank = uart_bank,
    .finish = uart_finish, .reset = uart_reset, .update = uart_update,
};
