# The program `hello` beside this file: Linux on x86-64, no libc, nothing but what is written here. Every byte comes from
# this text, so that every assembler makes the same file of it:
#
#     as hello.s -o hello.o && ld --oformat binary -Ttext=0x400000 hello.o -o hello

.globl _start
.set base, 0x400000
start:                              # ELF header (gABI, chapter 4)
    .byte 0x7f, 'E', 'L', 'F'
    .byte 2, 1, 1, 0                # 64 bits, little endian, version 1, System V
    .quad 0
    .short 2, 62                    # an executable, x86-64
    .long 1
    .quad _start                    # where it begins
    .quad segment - start           # where the program header is
    .quad 0                         # no sections
    .long 0
    .short 64, 56, 1, 0, 0, 0
segment:                            # one segment: the whole file, to be read and run
    .long 1, 5
    .quad 0, base, base
    .quad end - start, end - start
    .quad 0x1000
_start:
    movl $1, %eax                   # write(stdout, text, length)
    movl $1, %edi
    movl $text, %esi
    movl $(end - text), %edx
    syscall
    movl $60, %eax                  # exit(0)
    xorl %edi, %edi
    syscall
text:
    .ascii "Hello from an image that has one digest, whoever builds it.\n"
end:
