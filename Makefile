# Thin: every target is a script that installs what is missing, builds and does its job.

# scripts read these from the environment: no quoting of blanks on the way
export DESTDIR PART GST ONLY NETS BATCHES PEERS LATENCY CLIP SHARD LIMIT AGAIN JSON
# unset is /usr/local, empty is somebody's mistake: told apart by what is exported
ifneq ($(origin PREFIX),undefined)
export PREFIX
endif

all:
	@scripts/build

help:
	@echo 'make                   build, and install the packages that are missing'
	@echo 'make install           install in /usr/local; PREFIX=... elsewhere, DESTDIR=... below another root'
	@echo 'make uninstall         remove that again (same PREFIX and DESTDIR)'
	@echo 'make demo              classify photographs and a video, leave pictures of the result in build/demo'
	@echo 'make demo INPUT=...    the same on any file, /dev/video0 or rtsp:// address'
	@echo 'make cuda              where no CUDA toolkit is installed, fetch one into build/cuda (1 GB); demo, check and gpu-check do it where a GPU is'
	@echo 'make check             build and run every test, also under sanitizers and valgrind'
	@echo 'make fuzz              every reader of foreign bytes under libFuzzer, 20 minutes each; PARSER=zip one, SECONDS=60 shorter'
	@echo 'make check-zoo         hold the networks of torchvision and timm against PyTorch; hours, goes on where it stopped;'
	@echo '                       SHARD=i/n a part, NETS=regex some, LIMIT=seconds, AGAIN=verdict once more, JSON=file the rows (6 GB of packages)'
	@echo 'make compat            build, test and package in Debian 13 and sid, as roots in build/compat (needs root, downloads 1 GB)'
	@echo 'make compat SUITES=... in other releases of Debian, as bookworm'
	@echo 'make bench             measure this machine: ours against ONNX Runtime and OpenVINO, in fp32; PRECISION=fp32,bf16,auto others'
	@echo 'make bench AGAINST=... the same against a build folder or a git revision of this project; fails if slower'
	@echo 'make gpu-check         the tests on an NVIDIA GPU; PART=suite|ptx|sanitizer|pipelines one part, CARDS=2 parts side by side, GST=1.26 another GStreamer'
	@echo 'make gpu-bench         networks on an NVIDIA GPU, ours against PyTorch; NETS=... BATCHES=... PEERS=... choose'
	@echo 'make gpu-bench PART=pipelines  whole pipelines from NVDEC on, against identity, copies and PyTorch; LATENCY=60: seconds of the live stream (300)'
	@echo 'make gpu-kernels       times of the kernels on an NVIDIA GPU'
	@echo 'make gpu-pack          what these need as one archive, for a machine with a GPU and no compiler'

install: all
	@scripts/install.py install

uninstall:
	@scripts/install.py uninstall

demo:
	@scripts/demo "$(INPUT)"

cuda:
	@scripts/toolkit fetch

check:
	@scripts/check

fuzz:
	@scripts/fuzz $(if $(SECONDS),--seconds '$(SECONDS)') $(PARSER)

check-zoo:
	@scripts/zoo

compat:
	@scripts/compat $(SUITES)

bench:
	@scripts/bench $(if $(AGAINST),--against '$(AGAINST)',$(if $(PRECISION),--precision '$(PRECISION)'))

gpu-check:
	@scripts/gpu check

gpu-bench:
	@scripts/gpu bench

gpu-kernels:
	@scripts/gpu kernels

gpu-pack:
	@scripts/gpu pack

.PHONY: all help install uninstall demo cuda check fuzz check-zoo compat bench gpu-check gpu-bench gpu-kernels gpu-pack
