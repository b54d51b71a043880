"""A product on Linux: login at a console, and a shell behind it. Its programs are this machine's.

hub.py FOLDER: the console is the terminal that FOLDER/console leads to, power is on as long as FOLDER/power says so,
what it keeps is in FOLDER/root.
"""

import os
import select
import subprocess
import sys
import termios
import time
import tty

PASSWORD = "as on the label"
FOLDER = sys.argv[1]
ROOT = os.path.join(FOLDER, "root")

master, slave = os.openpty()
tty.setraw(slave, termios.TCSANOW)
os.symlink(os.ttyname(slave), os.path.join(FOLDER, "console"))
for folder in ["etc", "data"]:
    os.makedirs(os.path.join(ROOT, folder), exist_ok=True)
with open(os.path.join(ROOT, "etc/model"), "w") as file:
    file.write("HUB-1\n")


def is_on():
    with open(os.path.join(FOLDER, "power")) as file:
        return file.read().strip() == "on"


def say(text):
    os.write(master, text.encode("utf-8", "surrogateescape").replace(b"\n", b"\r\n"))


def run(command):
    environment = dict(os.environ, LC_ALL="C")
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )
    say(done.stdout.decode("utf-8", "surrogateescape"))


def lines():
    """What is typed, line by line, echoed unless it is a password; None when power is gone."""
    line = b""
    while True:
        if not is_on():
            return
        if not select.select([master], [], [], 0.02)[0]:
            continue
        for byte in os.read(master, 4096):
            if byte in b"\r\n":
                if state != "password":
                    say("\n")
                yield line.decode("utf-8", "surrogateescape")
                line = b""
            else:
                line += bytes([byte])
                if state != "password":
                    os.write(master, bytes([byte]))


while True:
    while not is_on():
        time.sleep(0.02)
    say("\nhub starts\n\nhub login: ")
    state = "login"
    for line in lines():
        if state == "login" and line == "root":
            say("Password: ")
            state = "password"
        elif state == "login":
            say("hub login: ")
        elif state == "password":
            state = "shell" if line == PASSWORD else "login"
            say("\nhub# " if state == "shell" else "\nLogin incorrect\n\nhub login: ")
        elif line == "exit":
            state = "login"
            say("hub login: ")
        else:
            run(line)
            say("hub# ")
