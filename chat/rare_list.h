// Containers of which there is one for every connection: a list that is nearly always empty, and
// pointers that are nearly always one.
#ifndef PARLEY_CHAT_RARE_LIST_H_
#define PARLEY_CHAT_RARE_LIST_H_

#include <cstddef>
#include <list>
#include <memory>
#include <utility>
#include <vector>

namespace parley {

template <class T>
class RareList {
 public:
  using iterator = typename std::list<T>::iterator;
  using const_iterator = typename std::list<T>::const_iterator;

  bool empty() const { return list_ == nullptr; }
  size_t size() const { return list_ ? list_->size() : 0; }
  T& front() { return list_->front(); }
  iterator begin() { return list_ ? list_->begin() : iterator(); }
  iterator end() { return list_ ? list_->end() : iterator(); }
  const_iterator begin() const { return list_ ? list_->cbegin() : const_iterator(); }
  const_iterator end() const { return list_ ? list_->cend() : const_iterator(); }

  void push_back(T value) {
    if (!list_) list_ = std::make_unique<std::list<T>>();
    list_->push_back(std::move(value));
  }
  void pop_front() {
    list_->pop_front();
    if (list_->empty()) list_.reset();
  }
  template <class Which>
  void RemoveIf(Which which) {
    if (!list_) return;
    list_->remove_if(which);
    if (list_->empty()) list_.reset();
  }

 private:
  std::unique_ptr<std::list<T>> list_;  // never of an empty one
};

template <class T>
class FewPointers {
 public:
  T* const* begin() const { return more_ ? more_->data() : &one_; }
  T* const* end() const { return begin() + size(); }
  size_t size() const { return more_ ? more_->size() : one_ != nullptr; }
  bool empty() const { return size() == 0; }

  void Add(T* pointer) {
    if (empty()) {
      one_ = pointer;
      return;
    }
    if (!more_) more_ = std::make_unique<std::vector<T*>>(1, one_);
    more_->push_back(pointer);
  }
  void Remove(T* pointer) {
    if (!more_) {
      if (one_ == pointer) one_ = nullptr;
      return;
    }
    std::erase(*more_, pointer);
    if (more_->size() > 1) return;
    one_ = more_->front();
    more_.reset();
  }

 private:
  T* one_ = nullptr;
  std::unique_ptr<std::vector<T*>> more_;  // two or more
};

}  // namespace parley

#endif  // PARLEY_CHAT_RARE_LIST_H_
