# Thin: every target is a script that installs what is missing, builds and does its job.

# scripts read these from the environment: no quoting of blanks on the way
export PREFIX DESTDIR

all:
	@scripts/build

help:
	@echo 'make                   build, and install the packages that are missing'
	@echo 'make install           install in /usr/local; PREFIX=... elsewhere, DESTDIR=... below another root'
	@echo 'make uninstall         remove that again (same PREFIX and DESTDIR)'
	@echo 'make demo              classify photographs and a video, leave pictures of the result in build/demo'
	@echo 'make demo INPUT=...    the same on any file, /dev/video0 or rtsp:// address'
	@echo 'make check             build and run every test, also under sanitizers and valgrind'
	@echo 'make compat            build, test and package in Debian 13 and sid, as roots in build/compat (needs root, downloads 1 GB)'
	@echo 'make compat SUITES=... in other releases of Debian, as bookworm'
	@echo 'make bench             measure this machine: ours against ONNX Runtime'
	@echo 'make bench AGAINST=... the same against a build folder or a git revision of this project; fails if slower'
	@echo 'make gpu-check         the tests that need an NVIDIA GPU; without one they fail'
	@echo 'make gpu-bench         measurements on an NVIDIA GPU'

install: all
	@scripts/install.py install

uninstall:
	@scripts/install.py uninstall

demo:
	@scripts/demo "$(INPUT)"

check:
	@scripts/check

compat:
	@scripts/compat $(SUITES)

bench:
	@scripts/bench $(if $(AGAINST),--against '$(AGAINST)')

gpu-check:
	@scripts/gpu check

gpu-bench:
	@scripts/gpu bench

.PHONY: all help install uninstall demo check compat bench gpu-check gpu-bench
