#include "tests/stand_ins/route_signer.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <charconv>
#include <stdexcept>

#include "tests/stand_ins/png.hpp"

namespace cppworker::stand_ins {
namespace {

constexpr unsigned kKeyBits = 2048;  // as the autoscaler's key has today

// Python's repr: the shortest digits that read back as the same double; plain notation for decimal exponents
// from -4 to 15, always with a point; else scientific with at least two digits of exponent.
std::string python_repr(double value) {
  char text[64];
  const auto scientific = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
  const std::string shortest(text, scientific.ptr);
  const int exponent = std::stoi(shortest.substr(shortest.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return shortest;
  const auto fixed = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed);
  const std::string plain(text, fixed.ptr);
  return plain.find('.') == std::string::npos ? plain + ".0" : plain;
}

}  // namespace

std::string python_spelling(const nlohmann::ordered_json& value) {
  return value.is_number_float() ? python_repr(value.get<double>()) : value.dump(-1, ' ', true);
}

std::string signed_text(const nlohmann::ordered_json& route, bool only_url) {
  std::string text = "{\n";
  if (!only_url) {
    for (const char* name : {"cost", "endpoint", "reqnum"}) {
      text += "    \"" + std::string(name) + "\": " + python_spelling(route.at(name)) + ",\n";
    }
  }
  return text + "    \"url\": " + python_spelling(route.at("url")) + "\n}";
}

RouteSigner::RouteSigner(const std::string& key_file) {
  EVP_PKEY* key = nullptr;
  if (key_file.empty()) {
    key = EVP_RSA_gen(kKeyBits);
  } else if (BIO* file = BIO_new_file(key_file.c_str(), "r")) {
    key = PEM_read_bio_PrivateKey(file, nullptr, nullptr, nullptr);
    BIO_free(file);
  }
  if (!key) throw std::runtime_error("cannot read a private key from " + key_file);
  key_ = std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
}

std::string RouteSigner::public_key_pem() const {
  BIO* memory = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(memory, key_.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(memory);
  return pem;
}

std::string RouteSigner::sign(const std::string& text) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t size = 0;
  EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get());
  EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size());
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                     text.size()) != 1) {
    throw std::runtime_error("cannot sign a route");
  }
  signature.resize(size);
  return base64(signature);
}

}  // namespace cppworker::stand_ins
