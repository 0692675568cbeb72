set(CPPWORKER_PROXY_PURE_SOURCES base64.cpp canonical_json.cpp envelope.cpp rsa_key.cpp signature_verifier.cpp
  verdict_cache.cpp)
