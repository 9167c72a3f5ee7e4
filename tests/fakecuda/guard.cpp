// A CUDA device for a build of torch that has none: a device guard that does nothing, hooks that say it is there, and the
// attention kernel that an A100 would take. Tensors on it exist only as FakeTensors; no kernel is ever launched.
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/transformers/attention.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {
struct FakeHooks : at::CUDAHooksInterface {
  FakeHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return false; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  int getNumGPUs() const override { return 1; }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetDefaultCPUAllocator(); }
  void deviceSynchronize(c10::DeviceIndex) const override {}
};

constexpr auto CUDA = c10::DeviceType::CUDA;

struct FakeGuard : c10::impl::NoOpDeviceGuardImpl<CUDA> {
  c10::Device exchangeDevice(c10::Device) const override { return {CUDA, 0}; }
  c10::Device getDevice() const override { return {CUDA, 0}; }
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, c10::Device(CUDA, 0)); }
};

// The numbers of at::SDPBackend. Source: torch 2.13, aten/native/transformers/cuda/sdp_utils.cpp, for compute capability 8.0.
int64_t choose(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& mask,
               double dropout, bool causal, std::optional<double> scale, bool gqa) {
  bool half = query.scalar_type() == at::kHalf || query.scalar_type() == at::kBFloat16;
  bool same_heads = query.sym_size(1) == key.sym_size(1);
  if (!mask && half && query.sym_size(3) <= 256) return 1;               // flash
  if (same_heads && query.sym_size(3) % (half ? 8 : 4) == 0) return 2;   // memory-efficient, which has no GQA
  return 0;                                                              // math
}
}  // namespace

namespace at {
using ::FakeHooks;
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, FakeHooks)
}  // namespace at

extern "C" void install_fake_cuda() {
  static bool done = false;
  if (done) return;
  done = true;
  c10::impl::registerDeviceGuard(CUDA, new FakeGuard());
  at::native::_fused_sdp_choice_stub.set_cuda_dispatch_ptr(&choose);
}
