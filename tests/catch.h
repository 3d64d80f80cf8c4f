// Catch2, version 2 (Debian 12) or 3 (Debian 13), under one name.
#ifndef PARLEY_TESTS_CATCH_H_
#define PARLEY_TESTS_CATCH_H_

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#endif  // PARLEY_TESTS_CATCH_H_
