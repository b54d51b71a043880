@ Firmware for the tests: one key on the console, one action. Rebuild: ./build
@
@   c  counts in RAM (it does so all the time)      s  sleeps in WFI for good
@   w  stores 0..255 to NVM, ascending words        k  sets the debug lock word
@   r  asks for a system reset                      d  lets the watchdog bite
@   x  runs into a fault without a handler          b  executes BKPT
@   f  floods the console with 64 KiB of 'f'        o  overwrites the first NVM word

        .syntax unified
        .cpu    cortex-m3
        .thumb
        .text

        .equ    UART,    0x40004000
        .equ    PAGE,    0x01000000
        .equ    LED,     0x40028000
        .equ    RAM,     0x20000000
        .equ    NVM,     0x21000000
        .equ    LOCK,    0x21FFF000
        .equ    AIRCR,   0xE000ED0C
        .equ    WATCHDOG,0x40008000

vectors:
        .word   0x20400000
        .word   reset + 1
        .word   spin + 1                @ NMI: the watchdog's first bite
        .word   0xFFFFFFFF              @ hard fault: locks up

        .balign 64
        .thumb_func
reset:  ldr     r4, =UART
        mov     r0, #16
        str     r0, [r4, #0x10]         @ baud divider
        movs    r0, #3
        str     r0, [r4, #8]            @ transmit and receive
        ldr     r5, =PAGE
        ldr     r6, =RAM
        bl      rtt_init
        movs    r0, #'R'                @ "R<cause>\n" at every start
        bl      put
        ldr     r0, [r5, #8]
        adds    r0, #'0'
        bl      put
        movs    r0, #'\n'
        bl      put
        movs    r7, #0

loop:   ldr     r0, [r6]                @ count at RAM + 0
        adds    r0, #1
        str     r0, [r6]
        ldr     r0, [r5, #4]            @ the LED follows the button
        ldr     r1, =LED
        str     r0, [r1]
        bl      rtt_poll
        ldr     r0, [r4, #4]
        tst     r0, #2
        beq     loop
        ldr     r0, [r4]                @ a key
        cmp     r0, #'w'
        beq     write
        cmp     r0, #'o'
        beq     once
        cmp     r0, #'r'
        beq     restart
        cmp     r0, #'d'
        beq     bite
        cmp     r0, #'x'
        beq     fault
        cmp     r0, #'b'
        beq     break
        cmp     r0, #'s'
        beq     sleep
        cmp     r0, #'k'
        beq     lock
        cmp     r0, #'f'
        beq     flood
        bl      put                     @ all else is echoed
        b       loop

write:  ldr     r1, =NVM
        movs    r0, #0
1:      str     r0, [r1], #4
        adds    r0, #1
        cmp     r0, #256
        bne     1b
        b       done
once:   ldr     r1, =NVM
        movs    r0, #'o'
        str     r0, [r1]
        b       done
lock:   ldr     r1, =LOCK
        movs    r0, #0
        str     r0, [r1]
done:   movs    r0, #'.'
        bl      put
        b       loop

restart:
        ldr     r1, =AIRCR
        ldr     r0, =0x05FA0004
        str     r0, [r1]
        dsb
spin:   b       spin

bite:   ldr     r1, =WATCHDOG
        ldr     r0, =25000              @ 1 ms at 25 MHz
        str     r0, [r1]
        movs    r0, #3                  @ interrupt and reset
        str     r0, [r1, #8]
        b       spin

fault:  ldr     r1, =0x3FFFFFF0
        ldr     r0, [r1]
        b       spin

        .thumb_func
        .global break
break:  bkpt    #1
        b       loop

sleep:  cpsid   i
1:      wfi
        b       1b

flood:  mov     r7, #0x10000
1:      movs    r0, #'f'
        bl      put
        subs    r7, #1
        bne     1b
        b       done

put:    ldr     r2, [r4, #4]            @ waits while the buffer is full
        tst     r2, #1
        bne     put
        str     r0, [r4]
        bx      lr

@ RTT: a control block at RAM + 0x1000 with one channel of 64 bytes, which is kept
@ filled with the alphabet.
rtt_init:
        ldr     r0, =RAM + 0x1000
        adr     r1, rtt_block
        movs    r2, #12
1:      ldr     r3, [r1], #4
        str     r3, [r0], #4
        subs    r2, #1
        bne     1b
        movs    r0, #'a'
        str     r0, [r6, #4]            @ next letter at RAM + 4
        bx      lr

rtt_poll:
        ldr     r1, =RAM + 0x1000
        ldr     r2, [r1, #36]           @ write offset
        ldr     r3, [r1, #40]           @ read offset
        adds    r0, r2, #1
        and     r0, #63
        cmp     r0, r3
        beq     1f
        ldr     r8, [r6, #4]
        add     r9, r1, #0x100
        strb    r8, [r9, r2]
        str     r0, [r1, #36]
        add     r8, #1
        cmp     r8, #'z' + 1
        it      eq
        moveq   r8, #'a'
        str     r8, [r6, #4]
1:      bx      lr

        .balign 4
rtt_block:
        .ascii  "SEGGER RTT\0\0\0\0\0\0"
        .word   1, 0                    @ up and down channels
        .word   rtt_name, RAM + 0x1100, 64, 0, 0, 0
rtt_name:
        .asciz  "letters"
        .balign 4
        .ltorg
