// The few functions of {fmt} that are not inline, for a program that is linked statically: distributions ship {fmt} as a shared
// library only. Whoever compiles with FMT_HEADER_ONLY emits them under the very names that the other objects ask for.
#define FMT_HEADER_ONLY
#define FMT_STATIC_THOUSANDS_SEPARATOR ','  // no format here asks for a locale, and half a megabyte of them stays out
#include <fmt/format.h>

namespace {

// Used by nobody here: naming them is what makes the compiler emit them.
[[maybe_unused, gnu::used]] std::string (*const vformat)(fmt::string_view, fmt::format_args) = &fmt::vformat;
[[maybe_unused, gnu::used]] bool (*const is_printable)(std::uint32_t) = &fmt::detail::is_printable;
[[maybe_unused, gnu::used]] void (*const assert_fail)(const char*, int, const char*) = &fmt::detail::assert_fail;
[[maybe_unused, gnu::used]] const auto to_decimal = &fmt::detail::dragonbox::to_decimal<double>;
[[maybe_unused, gnu::used]] const auto to_decimal_of_float = &fmt::detail::dragonbox::to_decimal<float>;
#if FMT_VERSION < 110000
[[maybe_unused, gnu::used]] char (*const decimal_point)(fmt::detail::locale_ref) = &fmt::detail::decimal_point_impl<char>;
[[maybe_unused, gnu::used]] fmt::detail::thousands_sep_result<char> (*const thousands)(fmt::detail::locale_ref) =
    &fmt::detail::thousands_sep_impl<char>;
[[maybe_unused, gnu::used]] void (*const throw_format_error)(const char*) = &fmt::detail::throw_format_error;
[[maybe_unused, gnu::used]] void (*const vformat_to)(fmt::detail::buffer<char>&, fmt::string_view, fmt::format_args,
                                                     fmt::detail::locale_ref) = &fmt::detail::vformat_to<char>;
#else
[[maybe_unused, gnu::used]] char (*const decimal_point)(fmt::locale_ref) = &fmt::detail::decimal_point_impl<char>;
[[maybe_unused, gnu::used]] fmt::detail::thousands_sep_result<char> (*const thousands)(fmt::locale_ref) =
    &fmt::detail::thousands_sep_impl<char>;
[[maybe_unused, gnu::used]] void (*const report_error)(const char*) = &fmt::report_error;
[[maybe_unused, gnu::used]] void (*const vformat_to)(fmt::detail::buffer<char>&, fmt::string_view, fmt::format_args,
                                                     fmt::locale_ref) = &fmt::detail::vformat_to<char>;
#endif

}  // namespace
