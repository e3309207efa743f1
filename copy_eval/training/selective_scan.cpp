// Mamba's selective scan and its gradient, for training on a CPU.
//
//   h[t] = exp(delta[t] * A) * h[t-1] + delta[t] * u[t] * B[t]        (one state of N numbers per channel, from h0 on)
//   y[t] = C[t] . h[t]
//
// transformers loops over time in Python, and a parallel scan moves the expanded states through memory many times; here the
// states of a channel stay in a register. The gradient recomputes the states of a sequence and walks back through them.
//
// Shapes, all float32 and contiguous: u, delta, y (batch, length, channels); A (channels, N); B, C (batch, length, N);
// h0 and the states after the last token (batch, channels, N).

#include <cmath>
#include <tuple>
#include <vector>

#include <torch/extension.h>

constexpr int N = 16;

std::tuple<torch::Tensor, torch::Tensor> forward(
    torch::Tensor u, torch::Tensor delta, torch::Tensor A, torch::Tensor B, torch::Tensor C, torch::Tensor h0) {
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2);
  TORCH_CHECK(A.size(1) == N, "the scan is compiled for a state of ", N, " numbers");
  auto y = torch::empty_like(u), last = h0.clone();
  const float *pu = u.data_ptr<float>(), *pd = delta.data_ptr<float>(), *pA = A.data_ptr<float>();
  const float *pB = B.data_ptr<float>(), *pC = C.data_ptr<float>();
  float *py = y.data_ptr<float>(), *ph = last.data_ptr<float>();
  at::parallel_for(0, batch, 1, [&](int64_t first, int64_t end) {
    for (int64_t b = first; b < end; ++b) {
      float *states = ph + b * channels * N;
      for (int64_t t = 0; t < length; ++t) {
        const int64_t row = b * length + t;
        const float *Bt = pB + row * N, *Ct = pC + row * N;
        for (int64_t c = 0; c < channels; ++c) {
          const float d = pd[row * channels + c], du = d * pu[row * channels + c];
          const float *a = pA + c * N;
          float *h = states + c * N;
          float sum = 0.f;
#pragma omp simd reduction(+ : sum)
          for (int n = 0; n < N; ++n) {
            h[n] = expf(d * a[n]) * h[n] + du * Bt[n];
            sum += h[n] * Ct[n];
          }
          py[row * channels + c] = sum;
        }
      }
    }
  });
  return {y, last};
}

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor, torch::Tensor, torch::Tensor> backward(
    torch::Tensor dy, torch::Tensor u, torch::Tensor delta, torch::Tensor A, torch::Tensor B, torch::Tensor C,
    torch::Tensor h0) {
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2);
  auto du = torch::empty_like(u), ddelta = torch::empty_like(u);
  auto dA = torch::zeros({batch, channels, N}, A.options());
  auto dB = torch::zeros_like(B), dC = torch::zeros_like(C);
  const float *pu = u.data_ptr<float>(), *pd = delta.data_ptr<float>(), *pA = A.data_ptr<float>();
  const float *pB = B.data_ptr<float>(), *pC = C.data_ptr<float>(), *pdy = dy.data_ptr<float>();
  const float *ph = h0.data_ptr<float>();
  float *pdu = du.data_ptr<float>(), *pdd = ddelta.data_ptr<float>(), *pdA = dA.data_ptr<float>();
  float *pdB = dB.data_ptr<float>(), *pdC = dC.data_ptr<float>();
  at::parallel_for(0, batch, 1, [&](int64_t first, int64_t last) {
    std::vector<float> states((length + 1) * N), decays(length * N);
    for (int64_t b = first; b < last; ++b) {
      for (int64_t c = 0; c < channels; ++c) {
        const float *a = pA + c * N;
        float *da = pdA + (b * channels + c) * N;
        for (int n = 0; n < N; ++n) states[n] = ph[(b * channels + c) * N + n];
        for (int64_t t = 0; t < length; ++t) {
          const int64_t row = b * length + t;
          const float d = pd[row * channels + c], input = d * pu[row * channels + c];
          const float *Bt = pB + row * N;
          float *h = states.data() + (t + 1) * N, *decay = decays.data() + t * N;
#pragma omp simd
          for (int n = 0; n < N; ++n) {
            decay[n] = expf(d * a[n]);
            h[n] = decay[n] * h[n - N] + input * Bt[n];
          }
        }
        float dh[N] = {0.f}, da_sum[N] = {0.f};
        for (int64_t t = length - 1; t >= 0; --t) {
          const int64_t row = b * length + t, place = row * channels + c;
          const float d = pd[place], x = pu[place], g = pdy[place];
          const float *Bt = pB + row * N, *Ct = pC + row * N;
          const float *h = states.data() + (t + 1) * N, *decay = decays.data() + t * N;
          float *dBt = pdB + row * N, *dCt = pdC + row * N;
          float through_B = 0.f, through_decay = 0.f;
#pragma omp simd reduction(+ : through_B, through_decay)
          for (int n = 0; n < N; ++n) {
            dCt[n] += g * h[n];
            dh[n] += g * Ct[n];
            dBt[n] += dh[n] * d * x;
            through_B += dh[n] * Bt[n];
            const float dlog = dh[n] * decay[n] * h[n - N];
            through_decay += dlog * a[n];
            da_sum[n] += dlog * d;
            dh[n] *= decay[n];
          }
          pdu[place] = through_B * d;
          pdd[place] = through_B * x + through_decay;
        }
        for (int n = 0; n < N; ++n) da[n] = da_sum[n];
      }
    }
  });
  return {du, ddelta, dA.sum(0), dB, dC};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("forward", &forward);
  m.def("backward", &backward);
}
