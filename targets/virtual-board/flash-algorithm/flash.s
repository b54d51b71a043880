@ Flash algorithm of the virtual board, in CMSIS-Pack form: position independent, no
@ data. Arguments in r0..r2, result in r0 (0 = done). The emulated flash is plain
@ memory; this code is what keeps to the discipline of flash: erase sets bits, program
@ only clears them.
@
@ Rebuild: ./build (needs binutils for arm-none-eabi), which also says what to put into
@ ../chip.yaml.

        .syntax unified
        .cpu    cortex-m3
        .thumb
        .text

        .equ    SECTOR, 0x10000

@ Init(address, clock, function)
        .global init
        .thumb_func
init:   movs    r0, #0
        bx      lr

@ UnInit(function)
        .global uninit
        .thumb_func
uninit: movs    r0, #0
        bx      lr

@ EraseSector(address)
        .global erase_sector
        .thumb_func
erase_sector:
        mov     r1, #SECTOR
        b       fill

@ EraseChip() of the boot flash
        .global erase_boot
        .thumb_func
erase_boot:
        movs    r0, #0
        mov     r1, #0x00400000
        b       fill

@ EraseChip() of the non-volatile memory
        .global erase_nvm
        .thumb_func
erase_nvm:
        mov     r0, #0x21000000
        mov     r1, #0x01000000

@ r0 address, r1 length: all ones, eight words at a time
fill:   push    {r4-r9, lr}
        add     r1, r0
        mov     r2, #-1
        mov     r3, r2
        mov     r4, r2
        mov     r5, r2
        mov     r6, r2
        mov     r7, r2
        mov     r8, r2
        mov     r9, r2
1:      stmia   r0!, {r2-r9}
        cmp     r0, r1
        blo     1b
        movs    r0, #0
        pop     {r4-r9, pc}

@ ProgramPage(address, length, data): whole words
        .global program_page
        .thumb_func
program_page:
        push    {r4-r6, lr}
        add     r1, r0
        movs    r6, #0
1:      ldr     r3, [r2], #4
        adds    r4, r3, #1              @ all ones: nothing to clear
        beq     2f
        ldr     r5, [r0]
        ands    r5, r3
        str     r5, [r0]
        eors    r5, r3                  @ bits that were cleared already
        orrs    r6, r5
2:      adds    r0, #4
        cmp     r0, r1
        blo     1b
        cmp     r6, #0
        ite     eq
        moveq   r0, #0
        movne   r0, #1
        pop     {r4-r6, pc}
